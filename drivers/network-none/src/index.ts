import { fail, type Plugin } from "@tsbox/kernel";
import { NoneDriver } from "./driver.ts";

const plugin: Plugin<null> = {
  parseConfig(raw) {
    if (raw === undefined || (typeof raw === "object" && raw !== null && Object.keys(raw).length === 0)) return null;
    throw fail("InvalidArgument", "network-none takes no config; remove it");
  },
  setup(context) {
    context.provideDriver("network", "none", { open: async () => new NoneDriver(await context.service("host")) });
  },
};
export default plugin;
