import { fail, type Plugin } from "@tsbox/kernel";
import { SnapshotStore } from "@tsbox/kernel/snapshots";
import { OverlayDriver } from "./driver.ts";
import { probe } from "./probe.ts";

const plugin: Plugin<null> = {
  parseConfig(raw) {
    if (raw === undefined || (typeof raw === "object" && raw !== null && Object.keys(raw).length === 0)) return null;
    throw fail("InvalidArgument", "storage-overlay takes no config; remove it");
  },
  setup(context) {
    context.provideDriver("storage", "overlay", {
      probe: async (call) => probe(call, await context.service("host"), context.rootDirectory),
      open: async () => {
        const host = await context.service("host");
        const store = new SnapshotStore(context.rootDirectory, host, () => context.call());
        return new OverlayDriver(store, host, context.rootDirectory);
      },
      close: async (_call, driver) => {
        if (driver instanceof OverlayDriver) await driver.close();
      },
    });
  },
};
export default plugin;
