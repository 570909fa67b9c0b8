/** The service `content`: blobs by digest. */
import type { Plugin, PluginContext } from "@tsbox/kernel";
import { openBlobs } from "./blobs.ts";

const plugin: Plugin<null> = {
  parseConfig: () => null,
  setup(context: PluginContext<null>): void {
    context.provideService("content", { open: () => openBlobs(context.rootDirectory) });
  },
};
export default plugin;
