import { noSettings, type Plugin } from "@tsbox/kernel";
import { HostDriver } from "./driver.ts";

const plugin: Plugin<null> = {
  parseConfig: noSettings,
  setup(context) {
    context.provideDriver("network", "host", { open: async () => new HostDriver() });
  },
};
export default plugin;
