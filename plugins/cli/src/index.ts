/**
 * The command line for clients of this host. Its commands (commands/) are docker's, over the service `api`; portable.ts runs the same
 * commands in the user's process.
 */
import { fail, noSettings, type Plugin, type PluginContext } from "@tsbox/kernel";
import { serveClients } from "./local.ts";

const plugin: Plugin<null> = {
  parseConfig: noSettings,
  setup(context: PluginContext<null>): void {
    const stop = new AbortController();
    context.tap("ready", async () => {
      const services = {
        api: await context.service("api"),
        launcher: await context.service("launcher"),
        log: context.log,
      };
      void serveClients(services, stop.signal);
    });
    context.tap("shutdown", () => Promise.resolve(stop.abort(fail("Canceled", "the engine stops"))));
  },
};
export default plugin;
