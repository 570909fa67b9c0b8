/** The host's own network: there is no namespace to join, so nothing is ever attached. */
import { fail, type NetworkDriver, type Plugin, type PluginContext } from "@tsbox/kernel";

const driver: NetworkDriver = {
  powers: [],
  ensure: async () => {},
  attach: async () => {
    throw fail("Unsupported", "the host's network can't be attached to a network namespace: start the container with --net host");
  },
  detach: async () => {},
  remove: async () => {},
  list: async () => nobody(),
};

async function* nobody(): AsyncGenerator<never> {}

const plugin: Plugin<null> = {
  parseConfig: () => null,
  setup(context: PluginContext<null>): void {
    context.provideDriver("network", "host", { open: async () => driver });
  },
};
export default plugin;
