import { noSettings, type Plugin } from "@tsbox/kernel";
import { MacvlanDriver } from "./driver.ts";
import { probe } from "./probe.ts";

const plugin: Plugin<null> = {
  parseConfig: noSettings,
  setup(context) {
    context.provideDriver("network", "macvlan", {
      probe: async (call) => probe(call, await context.service("host")),
      open: async () => new MacvlanDriver(await context.service("host"), context.engineId, context.stateDirectory),
    });
  },
};
export default plugin;
