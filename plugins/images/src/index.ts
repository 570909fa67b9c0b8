/** The service `images`. */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { noSettings, type Plugin, type PluginContext, type RegistryDriver } from "@tsbox/kernel";
import { type ImagesEngine, Leases, type OpenStorage } from "./engine.ts";
import { halfMadeSnapshots } from "./leftovers.ts";
import { ImageRecords } from "./records.ts";
import { imagesService } from "./service.ts";

const plugin: Plugin<null> = {
  parseConfig: noSettings,
  setup(context: PluginContext<null>): void {
    const hooks = { beforePull: context.provideHook("beforePull", "veto"), resolveImage: context.provideHook("resolveImage", "answer") };
    context.provideService("images", {
      open: async (call) => {
        const records = new ImageRecords(await context.service("state"));
        await records.load(call);
        const workDirectory = join(context.rootDirectory, "work");
        // Files of a daemon that was killed.
        await rm(workDirectory, { recursive: true, force: true });
        await mkdir(workDirectory, { recursive: true, mode: 0o700 });
        const engine: ImagesEngine = {
          records,
          sizes: new Map(),
          leases: new Leases(),
          stranded: new Set(),
          workDirectory,
          content: await context.service("content"),
          events: await context.service("events"),
          host: await context.service("host"),
          hooks,
          storage: (id) => context.driver("storage", id),
          schemes: await context.installed("registry"),
          registry: (scheme) => context.driver("registry", scheme),
          preferredRegistry: () => context.preferred("registry"),
          openRegistries: () => registriesOf(context),
          preferredStorage: async () => (await context.preferred("storage")) ?? "",
          storages: () => storagesOf(context),
        };
        const own = context.call();
        halfMadeSnapshots(engine, own, true).catch((error: unknown) =>
          own.log.warn(`what an earlier daemon had half made is still there: ${String(error)}`),
        );
        return imagesService(engine);
      },
    });
  },
};
export default plugin;

/** A driver that can't be opened is left out, with a line in the log. */
async function registriesOf(context: PluginContext<null>): Promise<readonly RegistryDriver[]> {
  const opened = (await context.installed("registry")).map(async (id): Promise<RegistryDriver[]> => {
    try {
      return [await context.driver("registry", id)];
    } catch (error) {
      context.call().log.warn(`the registry driver ${id} can't be opened: ${String(error)}`);
      return [];
    }
  });
  return (await Promise.all(opened)).flat();
}

/** A driver that can't be opened now keeps its snapshots: no other code can reach them. */
async function storagesOf(context: PluginContext<null>): Promise<readonly OpenStorage[]> {
  const usable = (await context.drivers("storage")).filter(({ usable }) => usable);
  const opened = usable.map(async ({ id }): Promise<OpenStorage[]> => {
    try {
      return [{ id, storage: await context.driver("storage", id) }];
    } catch (error) {
      context.call().log.warn(`the storage driver ${id} can't be opened, so what it holds stays: ${String(error)}`);
      return [];
    }
  });
  return (await Promise.all(opened)).flat();
}
