/** A network of its own with a loopback and nothing else; the shim has brought that up already. */
import type { NetworkDriver, Plugin, PluginContext } from "@tsbox/kernel";

const driver: NetworkDriver = {
  powers: [],
  ensure: async () => {},
  attach: async () => ({ addresses: [], mac: "", routes: [], ports: [], nameservers: [] }),
  detach: async () => {},
  remove: async () => {},
  list: async () => nobody(),
};

async function* nobody(): AsyncGenerator<never> {}

const plugin: Plugin<null> = {
  parseConfig: () => null,
  setup(context: PluginContext<null>): void {
    context.provideDriver("network", "none", { open: async () => driver });
  },
};
export default plugin;
