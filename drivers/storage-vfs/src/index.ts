import { noSettings, type Plugin } from "@tsbox/kernel";
import { VfsDriver } from "./driver.ts";

const plugin: Plugin<null> = {
  parseConfig: noSettings,
  setup(context) {
    context.provideDriver("storage", "vfs", {
      open: async () => {
        const host = await context.service("host");
        return new VfsDriver(host, context.rootDirectory, () => context.call());
      },
      close: async (_call, driver) => {
        if (driver instanceof VfsDriver) await driver.close();
      },
    });
  },
};
export default plugin;
