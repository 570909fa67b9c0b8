/** The transports `docker-archive` and `oci-archive`: images in tar files. */
import { noSettings, type Plugin, type PluginContext } from "@tsbox/kernel";
import { dockerArchive } from "./docker.ts";
import { archiveDriver } from "./driver.ts";
import { Archives } from "./internal/archives.ts";
import { ociArchive } from "./oci.ts";

const plugin: Plugin<null> = {
  parseConfig: noSettings,
  setup(context: PluginContext<null>): void {
    let archives: Archives | null = null;
    let users = 0;
    for (const [id, reader] of [
      ["docker-archive", dockerArchive],
      ["oci-archive", ociArchive],
    ] as const)
      context.provideDriver("registry", id, {
        open: async () => {
          users += 1;
          archives ??= new Archives(context.rootDirectory);
          return archiveDriver(archives, reader);
        },
        close: async () => {
          users -= 1;
          if (users === 0) await archives?.close();
        },
      });
  },
};
export default plugin;
