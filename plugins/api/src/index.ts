/** The service `api`: Docker's Engine API. operations/ is what it does. */
import type { Plugin, PluginContext } from "@tsbox/kernel";
import { containerVerbs } from "./operations/containers.ts";
import { imageVerbs } from "./operations/images.ts";
import { systemVerbs } from "./operations/system.ts";

const plugin: Plugin<null> = {
  parseConfig: () => null,
  setup(context: PluginContext<null>): void {
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
          rootDirectory: context.rootDirectory,
        };
        return { ...containerVerbs(containers), ...imageVerbs(images, containers), ...systemVerbs(services) };
      },
    });
  },
};
export default plugin;
