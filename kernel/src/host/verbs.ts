/**
 * The verbs of each kind of driver and of each power, as values. The compiler compares them with the contracts. A driver is checked when it
 * is opened: without this a missing verb would be found by the container that needs it.
 */
import type { ExecPowers } from "../contract/exec.ts";
import type { LogPowers } from "../contract/log.ts";
import type { NetworkPowers } from "../contract/network.ts";
import type { Drivers } from "../contract/plugin.ts";
import type { RegistryPowers } from "../contract/registry.ts";
import type { StoragePowers } from "../contract/storage.ts";
import type { VolumePowers } from "../contract/volume.ts";
import { fail } from "../errors/index.ts";

interface Powers {
  storage: StoragePowers;
  exec: ExecPowers;
  network: NetworkPowers;
  registry: RegistryPowers;
  volume: VolumePowers;
  log: LogPowers;
}
type Verbs<Contract> = {
  readonly [V in keyof Contract as Contract[V] extends (...parameters: never[]) => unknown ? V : never]-?: true;
};
type VerbTable = {
  readonly [K in keyof Powers]: {
    readonly verbs: Verbs<Drivers[K]>;
    readonly powers: { readonly [P in keyof Powers[K]]: Verbs<Powers[K][P]> };
  };
};

const table: VerbTable = {
  storage: {
    verbs: { prepare: true, view: true, mounts: true, commit: true, remove: true, stat: true, usage: true, list: true },
    powers: {
      apply: { apply: true },
      follow: {},
      diff: { diff: true },
      changes: { changes: true },
      adopt: { adopt: true },
      reclaim: { reclaim: true },
      release: { released: true },
      report: { report: true },
      rebase: {},
      quota: {},
      settle: { settle: true },
    },
  },
  exec: {
    verbs: { plan: true, delete: true, list: true },
    powers: {
      exec: { planExec: true },
      kill: { kill: true },
      pause: { pause: true, resume: true },
      update: { update: true },
      stats: { stats: true },
      explain: { explain: true },
      ended: { ended: true },
      options: { checkOptions: true },
      processes: {},
      terminal: {},
      rootless: {},
    },
  },
  network: {
    verbs: { check: true, ensure: true, attach: true, detach: true, remove: true, list: true },
    powers: { publish: { publish: true }, ipv6: {}, ipam: {}, hostNamespace: {}, single: {} },
  },
  registry: {
    verbs: { resolve: true, fetch: true },
    powers: { push: { push: true, tag: true }, search: { search: true }, directories: {}, names: {}, local: {}, archives: {} },
  },
  volume: {
    verbs: { create: true, remove: true, attach: true, detach: true, stat: true, usage: true, list: true },
    powers: { quota: {} },
  },
  log: { verbs: { check: true }, powers: { file: {}, send: { open: true, write: true, close: true } } },
};

/** Kinds and powers that plugins bring are not known here, and pass. */
export function checkVerbs(opened: unknown, offer: string, plugin: string): void {
  const kind = offer.slice(0, offer.indexOf("/"));
  if (!(kind in table) || typeof opened !== "object" || opened === null) return;
  const { verbs, powers }: { readonly verbs: object; readonly powers: Readonly<Record<string, object>> } = table[kind as keyof Powers];
  const wrong = (what: string): Error =>
    fail("InvalidArgument", `${plugin} opened ${offer} ${what}; install another version of it`, { plugin });
  const lacks = (verb: string): boolean => typeof Reflect.get(opened, verb) !== "function";
  const missing = Object.keys(verbs).find(lacks);
  if (missing !== undefined) throw wrong(`without the verb ${missing}, which each ${kind} driver has`);
  const declared: unknown = Reflect.get(opened, "powers");
  if (!Array.isArray(declared)) throw wrong("without the list of its powers");
  for (const power of declared) {
    const absent = Object.keys(powers[String(power)] ?? {}).find(lacks);
    if (absent !== undefined) throw wrong(`with the power ${power}, but without its verb ${absent}`);
  }
}
