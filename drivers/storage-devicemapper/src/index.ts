import type { Plugin } from "@tsbox/kernel";
import { DeviceMapperDriver } from "./driver.ts";
import { probe } from "./probe.ts";
import { parseSettings } from "./settings.ts";

interface Config {
  /** A thin pool that exists, such as an LVM one, which nobody else uses. Default: none. */
  readonly pool: string | null;
  /** The block device for the pool's data. Default: none, a sparse file below the engine's root. */
  readonly data: string | null;
  /** The block device for the pool's metadata. Default: none, a sparse file below the engine's root. */
  readonly metadata: string | null;
  /** The size of the data file. A larger one takes effect at the next start. Default: `"100g"`. */
  readonly dataSize: number;
  /** The size of the metadata file. Default: `"2g"`. */
  readonly metadataSize: number;
  /** What a container's file system can hold, its image included. Default: `"10g"`. */
  readonly baseSize: number;
  /** `xfs` or `ext4`, for a pool that has no layer yet. Default: `"xfs"`. */
  readonly fileSystem: "xfs" | "ext4";
}

const plugin: Plugin<Config> = {
  parseConfig: parseSettings,
  setup(context) {
    context.provideDriver("storage", "devicemapper", {
      probe: async (call) => probe(call, await context.service("host"), context.config),
      open: async (call) => {
        const { config: settings, rootDirectory: directory, engineId } = context;
        const makeCall = () => context.call();
        const driver = new DeviceMapperDriver({ host: await context.service("host"), directory, engineId, settings, makeCall });
        await driver.recover(call);
        return driver;
      },
      close: async (call, driver) => {
        if (driver instanceof DeviceMapperDriver) await driver.close(call);
      },
    });
  },
};
export default plugin;
