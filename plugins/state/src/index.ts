/** The service `state`: the engine's durable records in one lmdb file. */
import { join } from "node:path";
import type { Plugin, PluginContext } from "@tsbox/kernel";
import { openStore, type Store } from "./store.ts";

const plugin: Plugin<null> = {
  parseConfig: () => null,
  setup(context: PluginContext<null>): void {
    let store: Store | undefined;
    context.provideService("state", {
      open: async () => {
        store = await openStore(join(context.rootDirectory, "records.lmdb"));
        return store.service;
      },
      close: async () => store?.close(),
    });
  },
};
export default plugin;
