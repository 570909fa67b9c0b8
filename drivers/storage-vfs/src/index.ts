import { fail, type Plugin } from "@tsbox/kernel";
import { SnapshotStore } from "@tsbox/kernel/snapshots";
import { VfsDriver } from "./driver.ts";

const plugin: Plugin<null> = {
  parseConfig(raw) {
    if (raw === undefined || (typeof raw === "object" && raw !== null && Object.keys(raw).length === 0)) return null;
    throw fail("InvalidArgument", "storage-vfs takes no config; remove it");
  },
  setup(context) {
    context.provideDriver("storage", "vfs", {
      open: async () => {
        const host = await context.service("host");
        const store = new SnapshotStore(context.rootDirectory, host, () => context.call());
        return new VfsDriver(store, host, context.rootDirectory);
      },
      close: async (_call, driver) => {
        if (driver instanceof VfsDriver) await driver.close();
      },
    });
  },
};
export default plugin;
