import type { Plugin } from "@tsbox/kernel";
import { CniDriver } from "./driver.ts";
import { probe } from "./probe.ts";
import { parseSettings, type Settings } from "./settings.ts";

const plugin: Plugin<Settings> = {
  parseConfig: parseSettings,
  setup(context) {
    context.provideDriver("network", "cni", {
      probe: async () => probe(context.config),
      open: async (call) => {
        const driver = new CniDriver(await context.service("host"), context.config, context.stateDirectory);
        await driver.open(call);
        return driver;
      },
      close: async (call, driver) => {
        if (driver instanceof CniDriver) await driver.close(call);
      },
    });
  },
};
export default plugin;
