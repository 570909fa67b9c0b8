import { noSettings, type Plugin } from "@tsbox/kernel";
import { BridgeDriver } from "./driver.ts";
import { probe } from "./probe.ts";

const plugin: Plugin<null> = {
  parseConfig: noSettings,
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
