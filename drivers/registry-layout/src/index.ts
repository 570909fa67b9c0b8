/** The transport `oci`: image layouts in directories. */
import { noSettings, type Plugin, type PluginContext } from "@tsbox/kernel";
import { layoutDriver } from "./driver.ts";

const plugin: Plugin<null> = {
  parseConfig: noSettings,
  setup(context: PluginContext<null>): void {
    context.provideDriver("registry", "oci", { open: async () => layoutDriver() });
  },
};
export default plugin;
