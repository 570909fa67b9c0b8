/**
 * A plugin is an npm package whose `package.json#tsbox` is its manifest and whose default export is a `Plugin`. It provides drivers (many
 * of a kind, chosen by configuration) and services (one of each in an engine), and reaches others only through these.
 *
 * The host reads all manifests, refuses what does not fit, imports, calls `setup` (which registers and opens nothing), then opens services
 * in order of need and drivers when they are first asked for, and closes all in reverse.
 */
import type { Call, Logger } from "./call.ts";
import type { EngineService } from "./engine.ts";
import type { ExecDriver } from "./exec.ts";
import type { Hooks } from "./hooks.ts";
import type { HostToolkit } from "./host.ts";
import type { LogDriver } from "./log.ts";
import type { NetworkDriver } from "./network.ts";
import type { RegistryDriver } from "./registry.ts";
import type { StorageDriver } from "./storage.ts";
import type { VolumeDriver } from "./volume.ts";
import type { Sparse, Strings } from "./words.ts";

/** Many of a kind. Open: who brings a contract of his own merges a line, and says its version in `defines` of his manifest. */
export interface Drivers {
  storage: StorageDriver;
  exec: ExecDriver;
  network: NetworkDriver;
  registry: RegistryDriver;
  volume: VolumeDriver;
  log: LogDriver;
}
/** One of each. Open: each contract file of a service merges its own line (`declare module "./plugin.ts"`). */
export interface Services {
  engine: EngineService;
  host: HostToolkit;
}
export type DriverKind = keyof Drivers;
export type ServiceKind = keyof Services;

/**
 * `package.json#tsbox`; read before any code of the plugin is. The values of `kernel` and `needs` are semver ranges; those of `provides`
 * are versions, or ranges which the kernel's contract must meet.
 */
export interface PluginManifest {
  readonly kernel: string;
  /** `{"storage/zfs": "^1.2"}` */
  readonly provides?: { readonly [offer in `${DriverKind}/${string}` | ServiceKind]?: string };
  /** `{"host": "^1.0"}`. A kind of driver here gives the right to ask for drivers of it. */
  readonly needs?: { readonly [kind in DriverKind | ServiceKind]?: string };
  /** Contracts that this package brings, with their exact versions: `{"frontend": "1.0.0"}`. */
  readonly defines?: Strings;
  /** The operator's word wins. */
  readonly isolation?: "none" | "process";
}

/**
 * A package's default export. Set up once for each entry of the engine's list that names it: three OCI runtimes are three, each with its
 * own config and directories.
 */
export interface Plugin<Config = unknown> {
  /** Throws `InvalidArgument` with the path of the wrong key. */
  parseConfig(raw: unknown): Config;
  /** Registers only; opens nothing. */
  setup(context: PluginContext<Config>): void;
}

export interface PluginContext<Config = unknown> {
  readonly config: Config;
  readonly log: Logger;
  /** Durable, this plugin's own; exists from `open` on. */
  readonly rootDirectory: string;
  /** On tmpfs, this plugin's own; exists from `open` on. */
  readonly stateDirectory: string;
  /** Short; in the name of all that outlives a process, so that a sweep takes its own engine's only. */
  readonly engineId: string;

  provideDriver<K extends DriverKind>(kind: K, id: string, provider: Provider<Drivers[K]>): void;
  provideService<K extends ServiceKind>(kind: K, provider: Provider<Services[K]>): void;
  /** The one who brings a hook calls it; taps of it may have come before. */
  provideHook<N extends keyof Hooks>(
    name: N,
    kind: Hooks[N]["kind"],
  ): (call: Call, ...subject: Hooks[N]["subject"]) => Promise<Hooks[N]["answer"]>;
  tap<N extends keyof Hooks>(name: N, handler: (call: Call, ...subject: Hooks[N]["subject"]) => Promise<Hooks[N]["answer"]>): void;

  /** From `open` on, and only kinds in `needs`. */
  service<K extends ServiceKind>(kind: K): Promise<Services[K]>;
  /** From `open` on, and only kinds in `needs`. `NotFound`: no such id; `Unsupported`: this host can't. */
  driver<K extends DriverKind>(kind: K, id: string): Promise<Drivers[K]>;
  /** All that are installed, the host's choice first. */
  drivers(kind: DriverKind): Promise<readonly ({ readonly id: string } & Probe)[]>;
  /** A call that no caller asked for; `timeout` in milliseconds. */
  call(options?: Sparse<{ signal: AbortSignal; timeout: number }>): Call;
}

/** Who opens closes. Needs are there when `probe` and `open` are called, and still there in `close`. */
export interface Provider<T> {
  /**
   * Looks, changes nothing that lasts. `ResourceExhausted` (a full disk, no free descriptor) says nothing of the host: it is asked again.
   */
  probe?(call: Call): Promise<Probe>;
  open(call: Call): Promise<T>;
  close?(call: Call, opened: T): Promise<void>;
}
export type Probe = { readonly usable: true } | { readonly usable: false; readonly reason: string; readonly hint: string | null };
