/**
 * A plugin as the host sees it: four verbs, and nothing else of its code. `in-daemon.ts` puts a plugin of the daemon's own process behind
 * them. A process of its own can stand there as well: everything that crosses is a call, words, or a contract's verbs.
 */
import type { Call } from "../contract/call.ts";
import type { Probe } from "../contract/plugin.ts";
import type { ContextParts } from "./context.ts";
import { bounded, type PluginLimits } from "./guard.ts";

/** An offer is a service or driver by its name in the manifest: `images`, `storage/overlay`. */
export interface PluginHandle {
  /** Lets the plugin check its config and register; it opens nothing. Answers the names of its offers. */
  setup(call: Call, parts: ContextParts): Promise<readonly string[]>;
  /** Whether this host can use an offer. */
  probe(call: Call, offer: string): Promise<Probe>;
  open(call: Call, offer: string): Promise<unknown>;
  close(call: Call, offer: string, opened: unknown): Promise<void>;
}

/** The same handle with a deadline for each verb; errors get the plugin's name. What opens after its deadline is closed. */
export function guardHandle(handle: PluginHandle, plugin: string, limits: PluginLimits): PluginHandle {
  const within = <T>(call: Call, verb: keyof PluginHandle, whose: string, work: (inner: Call) => Promise<T>): Promise<T> =>
    bounded(call, `${whose} did not answer ${verb}`, { plugin, limit: limits[verb], grace: limits.grace }, work);
  return {
    setup: (call, parts) => within(call, "setup", plugin, (inner) => handle.setup(inner, parts)),
    probe: (call, offer) => within(call, "probe", offer, (inner) => handle.probe(inner, offer)),
    open: async (call, offer) => {
      let given = false;
      try {
        return await within(call, "open", offer, async (inner) => {
          const opened = await handle.open(inner, offer);
          // The caller of an overdue work has its error, and nobody else would close what was opened.
          if (given) await handle.close(inner, offer, opened);
          return opened;
        });
      } catch (thrown) {
        given = true;
        throw thrown;
      }
    },
    close: (call, offer, opened) => within(call, "close", offer, (inner) => handle.close(inner, offer, opened)),
  };
}
