/**
 * Drivers that the config file adds: `{"exec": {"gvisor": {"driver": "oci", "path": "runsc"}}}` sets the plugin of the driver `oci` up once
 * more. This set-up provides the driver `gvisor` and nothing else; it has its own config, directories and engine id.
 */
import { createHash } from "node:crypto";
import { fail } from "../errors/index.ts";
import { type EngineConfig, type FurtherDriver, furtherKinds } from "./config.ts";
import type { LoadedManifest } from "./manifest.ts";

/**
 * One manifest for each driver that the config file adds. `NotFound`: no plugin of the list provides the driver that it names;
 * `AlreadyExists`: its id is taken.
 */
export function furtherSetups(config: EngineConfig, manifests: readonly LoadedManifest[]): readonly LoadedManifest[] {
  return furtherKinds.flatMap((kind) =>
    Object.entries(config[kind]).map(([id, further]) => furtherSetup(kind, id, further, manifests, `the config file's ${kind}.${id}`)),
  );
}

function furtherSetup(
  kind: string,
  id: string,
  { driver, config }: FurtherDriver,
  manifests: readonly LoadedManifest[],
  where: string,
): LoadedManifest {
  const owner = (offer: string): LoadedManifest | undefined => manifests.find(({ provides }) => Object.hasOwn(provides, offer));
  const name = `${kind}-${id}`;
  const taken = owner(`${kind}/${id}`);
  if (taken !== undefined)
    throw fail("AlreadyExists", `${where} has the id of the driver of ${taken.entry.name}: choose another id, or configure that plugin`);
  if (manifests.some(({ entry }) => entry.name === name))
    throw fail("AlreadyExists", `${where} is set up as the plugin ${name}, but another plugin has that name: choose another id`);
  const base = owner(`${kind}/${driver}`);
  if (base === undefined) {
    const ids = manifests.flatMap(({ provides }) => Object.keys(provides).flatMap((offer) => idOf(kind, offer) ?? []));
    const which = ids.length === 0 ? `no ${kind} driver is installed` : `installed: ${ids.join(", ")}`;
    throw fail("NotFound", `${where} names the ${kind} driver ${driver}, which no plugin provides (${which}); add its plugin to "plugins"`);
  }
  const offer = `${kind}/${driver}`;
  return {
    ...base,
    entry: { name, package: base.entry.package, config },
    provides: { [`${kind}/${id}`]: base.provides[offer] ?? "" },
    defines: {},
    rank: {},
    further: { offer, offers: Object.keys(base.provides) },
  };
}

function idOf(kind: string, offer: string): string | null {
  return offer.startsWith(`${kind}/`) ? offer.slice(kind.length + 1) : null;
}

/**
 * The name that an offer of the plugin's code has in the engine. Null: it is another offer of the package, which this set-up does not
 * provide.
 */
export function offerName({ further, provides }: LoadedManifest, offer: string): string | null {
  if (further === null || !further.offers.includes(offer)) return offer;
  return offer === further.offer ? (Object.keys(provides)[0] ?? null) : null;
}

/**
 * The engine's id as a plugin sees it. A further set-up has an id of its own: what two set-ups of one driver make on the host (interfaces,
 * firewall tables) must not have the same names, since each sweeps what it does not know.
 */
export function ownEngineId(engineId: string, { further, entry }: LoadedManifest): string {
  if (further === null) return engineId;
  return createHash("sha256").update(`${engineId} ${entry.name}`).digest("hex").slice(0, 8);
}
