/** The log driver `journald`. What it needs is loaded by its first user. */
import type { Plugin, PluginContext } from "@tsbox/kernel";
import { probe } from "./probe.ts";
import { parseSettings } from "./settings.ts";

interface Config {
  /** The socket on which journald receives messages. Default: `"/run/systemd/journal/socket"`. */
  readonly socket: string;
}

const plugin: Plugin<Config> = {
  parseConfig: parseSettings,
  setup(context: PluginContext<Config>): void {
    const { socket } = context.config;
    context.provideDriver("log", "journald", {
      probe: async () => probe(socket),
      open: async () => {
        const { JournaldDriver } = await import("./driver.ts");
        return new JournaldDriver(await context.service("host"), socket);
      },
    });
  },
};
export default plugin;
