import { fail, type Plugin } from "@tsbox/kernel";
import { HostDriver } from "./driver.ts";

const plugin: Plugin<null> = {
  parseConfig(raw) {
    if (raw === undefined || (typeof raw === "object" && raw !== null && Object.keys(raw).length === 0)) return null;
    throw fail("InvalidArgument", "network-host takes no config; remove it");
  },
  setup(context) {
    context.provideDriver("network", "host", { open: async () => new HostDriver() });
  },
};
export default plugin;
