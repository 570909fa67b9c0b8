/**
 * Checks that the plugins fit this kernel and each other, and sorts them by their needs. Every refusal says what to install or to remove.
 */
import semver from "semver";
import { fail } from "../errors/index.ts";
import type { LoadedManifest } from "./manifest.ts";

export interface Agreement {
  /** Each plugin comes after all plugins that it needs. */
  readonly order: readonly LoadedManifest[];
  /** Service → the plugin that provides it. */
  readonly services: ReadonlyMap<string, LoadedManifest>;
  /** `storage/overlay` → the plugin that provides it. */
  readonly drivers: ReadonlyMap<string, LoadedManifest>;
}

/** `builtIn`: services that the host itself provides. */
export function negotiate(
  manifests: readonly LoadedManifest[],
  kernel: Readonly<Record<string, string>>,
  builtIn: readonly string[],
): Agreement {
  const contracts = new Map(Object.entries(kernel));
  for (const plugin of manifests) {
    for (const [kind, version] of Object.entries(plugin.defines)) {
      if (contracts.has(kind))
        throw refused(plugin, "AlreadyExists", `defines the contract ${kind}, which is defined already; remove one of the two plugins`);
      contracts.set(kind, version);
    }
  }
  const services = new Map<string, LoadedManifest>();
  const drivers = new Map<string, LoadedManifest>();
  for (const plugin of manifests) {
    meet(plugin, "kernel", plugin.kernel, contracts, "is made for");
    for (const [offer, range] of Object.entries(plugin.provides)) {
      const [kind = "", id] = split(offer);
      meet(plugin, kind, asMinimum(range), contracts, `provides ${offer} by`);
      const taken = id === undefined ? services : drivers;
      const other = taken.get(offer);
      if (other !== undefined)
        throw refused(
          plugin,
          "AlreadyExists",
          `provides ${offer}, as ${other.entry.name} does; remove one of the two from the list of plugins`,
        );
      if (id === undefined && builtIn.includes(kind)) throw refused(plugin, "AlreadyExists", `provides ${kind}, which is the host's own`);
      taken.set(offer, plugin);
    }
  }
  for (const plugin of manifests) {
    for (const [kind, range] of Object.entries(plugin.needs)) meet(plugin, kind, range, contracts, "needs");
  }
  const driverKinds = new Set([...drivers.keys()].map((offer) => split(offer)[0]));
  const before = (plugin: LoadedManifest): readonly LoadedManifest[] =>
    Object.keys(plugin.needs).flatMap((kind) => {
      const service = services.get(kind);
      if (service !== undefined) return [service];
      if (builtIn.includes(kind)) return [];
      if (driverKinds.has(kind))
        return [...drivers].flatMap(([offer, provider]) => (split(offer)[0] === kind && provider !== plugin ? [provider] : []));
      throw refused(plugin, "FailedPrecondition", `needs ${kind}, which no plugin provides; add one that does to the list of plugins`);
    });
  return { order: sorted(manifests, before), services, drivers };
}

function split(offer: string): readonly [string, string | undefined] {
  const slash = offer.indexOf("/");
  return slash === -1 ? [offer, undefined] : [offer.slice(0, slash), offer.slice(slash + 1)];
}

/** An exact version in `provides` is the version that the plugin was written for; a newer minor version of the contract fits as well. */
function asMinimum(range: string): string {
  return semver.valid(range) === null ? range : `^${range}`;
}

function meet(plugin: LoadedManifest, kind: string, range: string, contracts: ReadonlyMap<string, string>, verb: string): void {
  const version = contracts.get(kind);
  if (version === undefined) {
    throw refused(
      plugin,
      "VersionMismatch",
      `${verb} a contract "${kind}" that nothing here defines; install the plugin that brings it, or a newer tsbox`,
    );
  }
  if (semver.satisfies(version, range)) return;
  const newer = semver.gtr(version, range);
  const cure = newer
    ? `install a version of ${plugin.entry.package} made for ${kind} ${version}`
    : `install a newer tsbox, or an older ${plugin.entry.package}`;
  throw refused(plugin, "VersionMismatch", `${verb} ${kind} ${range}, but this engine has ${kind} ${version}; ${cure}`);
}

function sorted(
  manifests: readonly LoadedManifest[],
  before: (plugin: LoadedManifest) => readonly LoadedManifest[],
): readonly LoadedManifest[] {
  const order: LoadedManifest[] = [];
  const visit = (plugin: LoadedManifest, path: readonly LoadedManifest[]): void => {
    if (order.includes(plugin)) return;
    const start = path.indexOf(plugin);
    if (start !== -1) {
      const cycle = [...path.slice(start), plugin].map((each) => each.entry.name).join(" → ");
      throw refused(plugin, "FailedPrecondition", `needs itself: ${cycle}; one of these must do without the next`);
    }
    for (const need of before(plugin)) visit(need, [...path, plugin]);
    order.push(plugin);
  };
  for (const plugin of manifests) visit(plugin, []);
  return order;
}

function refused(plugin: LoadedManifest, code: "AlreadyExists" | "FailedPrecondition" | "VersionMismatch", text: string): Error {
  return fail(code, `${plugin.entry.name} ${text}`, { plugin: plugin.entry.name });
}
