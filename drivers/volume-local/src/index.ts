import { fail, type Plugin } from "@tsbox/kernel";
import { LocalVolumes } from "./driver.ts";

const plugin: Plugin<null> = {
  parseConfig(raw) {
    if (raw === undefined || (typeof raw === "object" && raw !== null && Object.keys(raw).length === 0)) return null;
    throw fail("InvalidArgument", "volume-local takes no config; remove it");
  },
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
