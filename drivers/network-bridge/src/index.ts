import { fail, type Plugin } from "@tsbox/kernel";
import { BridgeDriver } from "./driver.ts";
import { probe } from "./probe.ts";

const plugin: Plugin<null> = {
  parseConfig(raw) {
    if (raw === undefined || (typeof raw === "object" && raw !== null && Object.keys(raw).length === 0)) return null;
    throw fail("InvalidArgument", "network-bridge takes no config; remove it");
  },
  setup(context) {
    context.provideDriver("network", "bridge", {
      probe: async (call) => probe(call, await context.service("host")),
      open: async (call) => {
        const driver = new BridgeDriver(await context.service("host"), context.engineId, () => context.call());
        await driver.open(call);
        return driver;
      },
      close: async (call, driver) => {
        if (driver instanceof BridgeDriver) await driver.close(call);
      },
    });
  },
};
export default plugin;
