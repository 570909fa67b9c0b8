/** The transport `host:`, a directory of this machine as an image. */
import { dirname } from "node:path";
import { noSettings, type Plugin, type PluginContext } from "@tsbox/kernel";
import { hostDriver } from "./driver.ts";

const plugin: Plugin<null> = {
  parseConfig: noSettings,
  setup(context: PluginContext<null>): void {
    // A plugin's directories are below the engine's own.
    const engine = [context.rootDirectory, context.stateDirectory].map((path) => dirname(path));
    context.provideDriver("registry", "host", { open: async () => hostDriver(engine) });
  },
};
export default plugin;
