/** The service `state`: the engine's durable records in one lmdb file. */
import type { Plugin, PluginContext } from "@tsbox/kernel";
import { openStore, type Store } from "./store.ts";

const plugin: Plugin<null> = {
  parseConfig: () => null,
  setup(context: PluginContext<null>): void {
    let store: Store | undefined;
    context.provideService("state", {
      open: async () => {
        store = await openStore(context.rootDirectory, context.engineId);
        if (store.restored)
          context.log.warn(
            "the records are an older copy: what they don't know is kept until `tsbox system prune`; `tsbox system df` counts it",
          );
        return store.service;
      },
      close: async () => store?.close(),
    });
  },
};
export default plugin;
