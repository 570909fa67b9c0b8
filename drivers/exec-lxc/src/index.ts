import { join } from "node:path";
import { noSettings, type Plugin } from "@tsbox/kernel";
import { LxcDriver } from "./driver.ts";
import { probe } from "./probe.ts";

const plugin: Plugin<null> = {
  parseConfig: noSettings,
  setup(context) {
    context.provideDriver("exec", "lxc", {
      probe: async (call) => probe(call, await context.service("host")),
      open: async () => new LxcDriver(await context.service("host"), join(context.stateDirectory, "containers")),
    });
  },
};
export default plugin;
