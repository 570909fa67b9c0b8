/** The log drivers `local`, `json-file` and `none`: the container's monitor writes them (native/shim/src/log.rs), and nothing is sent. */
import { noSettings, type Plugin, type PluginContext } from "@tsbox/kernel";
import { fileDriver } from "./driver.ts";

const plugin: Plugin<null> = {
  parseConfig: noSettings,
  setup(context: PluginContext<null>): void {
    for (const format of ["local", "json-file", "none"] as const)
      context.provideDriver("log", format, { open: async () => fileDriver(format) });
  },
};
export default plugin;
