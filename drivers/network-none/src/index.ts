import { noSettings, type Plugin } from "@tsbox/kernel";
import { NoneDriver } from "./driver.ts";

const plugin: Plugin<null> = {
  parseConfig: noSettings,
  setup(context) {
    context.provideDriver("network", "none", { open: async () => new NoneDriver(await context.service("host")) });
  },
};
export default plugin;
