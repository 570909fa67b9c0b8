import { noSettings, type Plugin } from "@tsbox/kernel";
import { OverlayDriver } from "./driver.ts";
import { probe } from "./probe.ts";

const plugin: Plugin<null> = {
  parseConfig: noSettings,
  setup(context) {
    context.provideDriver("storage", "overlay", {
      probe: async (call) => probe(call, await context.service("host"), context.rootDirectory),
      open: async (call) => {
        const host = await context.service("host");
        const quotas = await host.canLimit(call, context.rootDirectory);
        return new OverlayDriver(host, context.rootDirectory, () => context.call(), quotas);
      },
      close: async (_call, driver) => {
        if (driver instanceof OverlayDriver) await driver.close();
      },
    });
  },
};
export default plugin;
