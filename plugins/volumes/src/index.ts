/** The service `volumes`. */
import { noSettings, type Plugin, type PluginContext } from "@tsbox/kernel";
import { openVolumes } from "./service.ts";

const plugin: Plugin<null> = {
  parseConfig: noSettings,
  setup(context: PluginContext<null>): void {
    context.provideService("volumes", {
      open: async (call) =>
        openVolumes(
          {
            state: await context.service("state"),
            events: await context.service("events"),
            host: await context.service("host"),
            driver: (id) => context.driver("volume", id),
            preferred: async () => (await context.preferred("volume")) ?? "",
          },
          call,
        ),
    });
  },
};
export default plugin;
