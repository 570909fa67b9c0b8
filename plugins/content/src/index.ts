/** The service `content`: blobs by digest. */
import { noSettings, type Plugin, type PluginContext } from "@tsbox/kernel";
import { openBlobs } from "./blobs.ts";

const plugin: Plugin<null> = {
  parseConfig: noSettings,
  setup(context: PluginContext<null>): void {
    context.provideService("content", { open: () => openBlobs(context.rootDirectory) });
  },
};
export default plugin;
