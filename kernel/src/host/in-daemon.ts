/** The handle of a plugin whose code runs in the daemon. */
import type { Plugin, Probe, Provider } from "../contract/plugin.ts";
import { fail } from "../errors/index.ts";
import { makeContext } from "./context.ts";
import type { PluginHandle } from "./handle.ts";
import { importPlugin } from "./import-plugin.ts";
import type { LoadedManifest } from "./manifest.ts";

/** Runs the plugin's module, which registers nothing yet. */
export async function inDaemon(manifest: LoadedManifest): Promise<PluginHandle> {
  const module: Plugin = await importPlugin(manifest);
  const providers = new Map<string, Provider<unknown>>();
  const provider = (offer: string): Provider<unknown> => {
    const found = providers.get(offer);
    if (found === undefined) throw fail("Internal", `${manifest.entry.name} was asked for ${offer}, which it does not provide`);
    return found;
  };
  return {
    setup: async (_call, parts) => {
      const { context, seal } = makeContext(parts, manifest, providers, module.parseConfig(manifest.entry.config));
      // The contract has no promise here. One is waited for all the same: an error in it must not be lost.
      await (module.setup(context) as unknown);
      seal();
      return [...providers.keys()];
    },
    probe: async (call, offer): Promise<Probe> => (await provider(offer).probe?.(call)) ?? { usable: true },
    open: async (call, offer) => provider(offer).open(call),
    close: async (call, offer, opened) => provider(offer).close?.(call, opened),
  };
}
