/** The service `networks`. */
import { noSettings, type Plugin, type PluginContext } from "@tsbox/kernel";
import { type OpenNetworks, openNetworks } from "./service.ts";

const plugin: Plugin<null> = {
  parseConfig: noSettings,
  setup(context: PluginContext<null>): void {
    let opened: OpenNetworks | undefined;
    context.provideService("networks", {
      open: async () => {
        opened = await openNetworks(
          {
            state: await context.service("state"),
            events: await context.service("events"),
            driver: (id) => context.driver("network", id),
            preferred: async () => (await context.preferred("network")) ?? "",
          },
          context.call(),
        );
        return opened.service;
      },
      close: async (call) => opened?.close(call),
    });
  },
};
export default plugin;
