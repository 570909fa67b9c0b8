import { noSettings, type Plugin } from "@tsbox/kernel";
import { LocalVolumes } from "./driver.ts";

const plugin: Plugin<null> = {
  parseConfig: noSettings,
  setup(context) {
    context.provideDriver("volume", "local", {
      open: async (call) => {
        const driver = new LocalVolumes(await context.service("host"), context.rootDirectory, context.stateDirectory);
        await driver.sweep(call);
        return driver;
      },
    });
  },
};
export default plugin;
