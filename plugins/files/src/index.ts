/** The service `files`: operations on a container's files from outside. */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { noSettings, type Plugin, type PluginContext } from "@tsbox/kernel";
import { filesService } from "./service.ts";

const plugin: Plugin<null> = {
  parseConfig: noSettings,
  setup(context: PluginContext<null>): void {
    // A removed image's layers are kept while a container uses them.
    context.tap("removed", async (call) => (await context.service("images")).sweep(call));
    context.provideService("files", {
      open: async () => {
        const workDirectory = join(context.rootDirectory, "work");
        // Left behind by a killed daemon.
        await rm(workDirectory, { recursive: true, force: true });
        await mkdir(workDirectory, { recursive: true, mode: 0o700 });
        return filesService({
          containers: await context.service("containers"),
          images: await context.service("images"),
          events: await context.service("events"),
          host: await context.service("host"),
          storage: (id) => context.driver("storage", id),
          workDirectory,
        });
      },
    });
  },
};
export default plugin;
