/** The service `networks`. */
import type { Plugin, PluginContext } from "@tsbox/kernel";
import { openNetworks } from "./service.ts";

const plugin: Plugin<null> = {
  parseConfig: () => null,
  setup(context: PluginContext<null>): void {
    context.provideService("networks", {
      open: async () =>
        openNetworks({ state: await context.service("state"), driver: (id) => context.driver("network", id) }, context.call()),
    });
  },
};
export default plugin;
