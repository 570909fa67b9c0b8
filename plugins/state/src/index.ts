/** The service `state`: the engine's durable records in one lmdb file. */
import { noSettings, type Plugin, type PluginContext } from "@tsbox/kernel";
import { openStore, type Store } from "./store.ts";

const plugin: Plugin<null> = {
  parseConfig: noSettings,
  setup(context: PluginContext<null>): void {
    let store: Store | undefined;
    context.provideService("state", {
      open: async () => {
        store = await openStore(context.rootDirectory, context.engineId);
        if (store.restored)
          context.log.warn(
            "the records are an older copy: layers that they don't know are kept until the start after `tsbox system prune`",
          );
        return store.service;
      },
      close: async () => store?.close(),
    });
  },
};
export default plugin;
