/** What `tsbox plugins` shows of a plugin: its version, and whether each of its offers works on this host. */
import type { Call } from "../contract/call.ts";
import type { OfferStatus, PluginStatus } from "../contract/engine.ts";
import type { LoadedPlugin } from "./load.ts";
import type { Offer } from "./offer.ts";

export async function pluginStatus({ name, manifest }: LoadedPlugin, offers: readonly Offer[], call: Call): Promise<PluginStatus> {
  return {
    name,
    package: manifest.entry.package,
    version: manifest.version,
    offers: await Promise.all(offers.map((offer) => offerStatus(offer, call))),
  };
}

async function offerStatus(offer: Offer, call: Call): Promise<OfferStatus> {
  const probe = await offer.look(call);
  return {
    offer: offer.name,
    state: offer.failure !== null ? "failed" : probe.usable ? "ok" : "skipped",
    reason: offer.failure ?? (probe.usable ? null : probe.reason),
    hint: probe.usable ? null : probe.hint,
  };
}
