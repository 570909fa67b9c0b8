import { join } from "node:path";
import type { Plugin } from "@tsbox/kernel";
import { OciRuntimeDriver } from "./driver.ts";
import { CommandLine } from "./internal/command-line.ts";
import { probe, versionOf } from "./probe.ts";
import { parseSettings, type Settings } from "./settings.ts";

const plugin: Plugin<Settings> = {
  parseConfig: parseSettings,
  setup(context) {
    const { config } = context;
    context.provideDriver("exec", "oci", {
      probe: async (call) => probe(call, await context.service("host"), config),
      open: async (call) => {
        const host = await context.service("host");
        const runtime = new CommandLine(host, config, join(context.stateDirectory, "containers"));
        return new OciRuntimeDriver(runtime, await versionOf(call, host, config));
      },
    });
  },
};
export default plugin;
