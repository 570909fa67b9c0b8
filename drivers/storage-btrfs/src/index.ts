import { noSettings, type Plugin } from "@tsbox/kernel";
import { BtrfsDriver } from "./driver.ts";
import { probe } from "./probe.ts";

const plugin: Plugin<null> = {
  parseConfig: noSettings,
  setup(context) {
    context.provideDriver("storage", "btrfs", {
      probe: async (call) => probe(call, await context.service("host"), context.rootDirectory),
      open: async () => new BtrfsDriver(await context.service("host"), context.rootDirectory, () => context.call()),
      close: async (_call, driver) => {
        if (driver instanceof BtrfsDriver) await driver.close();
      },
    });
  },
};
export default plugin;
