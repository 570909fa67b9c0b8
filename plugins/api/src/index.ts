/** The service `api`: Docker's Engine API. operations/ implements it, http/ serves it. */
import { dirname, join } from "node:path";
import { type ApiService, noSettings, type Plugin, type PluginContext, type SessionsApi } from "@tsbox/kernel";
import { openFront } from "./http/index.ts";
import type { HttpServer } from "./http/server.ts";
import { containerList } from "./operations/container-list.ts";
import { containerVerbs } from "./operations/containers.ts";
import { execVerbs } from "./operations/execs.ts";
import { fileVerbs } from "./operations/files.ts";
import { imageVerbs } from "./operations/images.ts";
import { importVerb } from "./operations/import.ts";
import { networkMembers } from "./operations/network-members.ts";
import { networkPrune } from "./operations/network-prune.ts";
import { runningVerbs } from "./operations/running.ts";
import { sessionVerbs } from "./operations/sessions.ts";
import { withSizes } from "./operations/sizes.ts";
import { spaceVerbs } from "./operations/space.ts";
import { storageVerbs } from "./operations/storage.ts";
import { systemVerbs } from "./operations/system.ts";
import { volumeVerbs } from "./operations/volumes.ts";

const plugin: Plugin<null> = {
  parseConfig: noSettings,
  setup(context: PluginContext<null>): void {
    let api: (ApiService & SessionsApi) | null = null;
    let front: HttpServer | null = null;
    context.provideService("api", {
      open: async () => {
        const containers = await context.service("containers");
        const images = await context.service("images");
        const services = {
          containers,
          images,
          networks: await context.service("networks"),
          events: await context.service("events"),
          engine: await context.service("engine"),
          host: await context.service("host"),
          storage: (id: string) => context.driver("storage", id),
          // The engine's root directory; this plugin's own directory is below it.
          rootDirectory: dirname(context.rootDirectory),
          engineId: context.engineId,
        };
        const files = await context.service("files");
        const content = await context.service("content");
        const space = { containers, images, files, content, volumes: await context.service("volumes"), events: services.events };
        const verbs = containerVerbs(containers);
        api = {
          ...verbs,
          ...sessionVerbs(containers, verbs),
          ...execVerbs(containers),
          ...withSizes({ ...verbs, ...containerList(containers, images) }, images, files),
          ...runningVerbs(containers),
          ...fileVerbs(containers, files),
          ...imageVerbs(images, containers),
          imageImport: importVerb(images, services.events, join(context.rootDirectory, "import")),
          ...spaceVerbs(space),
          ...systemVerbs(services),
          ...storageVerbs(containers),
          ...networkMembers(containers),
          ...networkPrune(services.networks, containers, services.events),
          ...volumeVerbs(await context.service("volumes"), services.events),
        };
        return api;
      },
    });
    // The server starts when all services are open; clients that connect earlier wait in the listener's queue.
    context.tap("ready", async () => {
      if (api) front = await openFront({ api, log: context.log }, context.rootDirectory);
    });
    context.tap("shutdown", async () => front?.close());
  },
};
export default plugin;
