/**
 * A plugin is an npm package whose `package.json#tsbox` is its manifest and whose default export is a `Plugin`. It provides drivers (many
 * of a kind, chosen by configuration) and services (one of each in an engine), and reaches other plugins only through these.
 *
 * The host reads all manifests, refuses plugins that do not fit, imports the others and calls `setup` (which registers and opens nothing).
 * Then it opens services in the order of their needs, and drivers at their first use. It closes everything in reverse order.
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

/** Many of a kind. Open: a plugin that brings its own contract merges a line, and states its version in `defines` of its manifest. */
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
 * `package.json#tsbox`; it is read before any code of the plugin. The values of `kernel` and `needs` are semver ranges; those of `provides`
 * are versions, or ranges that the kernel's contract must satisfy.
 */
export interface PluginManifest {
  readonly kernel: string;
  /** `{"storage/zfs": "^1.2"}` */
  readonly provides?: { readonly [offer in `${DriverKind}/${string}` | ServiceKind]?: string };
  /** `{"host": "^1.0"}`. A kind of driver here is the permission to ask for drivers of that kind. */
  readonly needs?: { readonly [kind in DriverKind | ServiceKind]?: string };
  /**
   * `{"storage/zfs": 50}`: the usable driver with the highest rank is the host's default, unless the operator names another. Ours have 100
   * (overlay, native, bridge, docker) and 10 (vfs). Default: 0.
   */
  readonly rank?: { readonly [offer in `${DriverKind}/${string}`]?: number };
  /** Contracts that this package brings, with their exact versions: `{"frontend": "1.0.0"}`. */
  readonly defines?: Strings;
  /** The operator's config overrides it. */
  readonly isolation?: "none" | "process";
}

/**
 * A package's default export. It is set up once for each entry of the engine's list that names it, and once more for each driver that the
 * operator's config adds: `{"exec": {"gvisor": {"driver": "oci", "path": "runsc"}}}` is another set-up of the plugin that provides
 * `exec/oci`, with its own config (`{"path": "runsc"}`), directories (`exec-gvisor`) and engine id. The plugin registers what it always
 * does; the host takes the driver `oci` from this set-up, and calls it `gvisor`. So a plugin keeps no state in its module.
 */
export interface Plugin<Config = unknown> {
  /** Throws `InvalidArgument` with the path of the wrong key. */
  parseConfig(raw: unknown): Config;
  /** Registers only; opens nothing. It has ten seconds. */
  setup(context: PluginContext<Config>): void;
}

export interface PluginContext<Config = unknown> {
  readonly config: Config;
  readonly log: Logger;
  /**
   * This plugin's durable directory; exists from `open` on. It has the name of what the plugin provides (`storage-zfs`). If the plugin
   * provides several offers, or none, it has the name of the list's entry or of the package; so such a package does not change its name.
   * The operator may move the root directory: keep paths relative to it.
   */
  readonly rootDirectory: string;
  /** This plugin's directory on tmpfs; exists from `open` on. */
  readonly stateDirectory: string;
  /** Short. It is in the name of everything that outlives a process, so that a sweep only removes what its own engine made. */
  readonly engineId: string;

  provideDriver<K extends DriverKind>(kind: K, id: string, provider: Provider<Drivers[K]>): void;
  provideService<K extends ServiceKind>(kind: K, provider: Provider<Services[K]>): void;
  /** Answers the function that calls the hook; other plugins may have tapped it before. */
  provideHook<N extends keyof Hooks>(
    name: N,
    kind: Hooks[N]["kind"],
  ): (call: Call, ...subject: Hooks[N]["subject"]) => Promise<Hooks[N]["answer"]>;
  tap<N extends keyof Hooks>(name: N, handler: (call: Call, ...subject: Hooks[N]["subject"]) => Promise<Hooks[N]["answer"]>): void;

  /** Only from `open` on, and only kinds in `needs`. */
  service<K extends ServiceKind>(kind: K): Promise<Services[K]>;
  /**
   * Only from `open` on, and only kinds in `needs`. `DriverMissing`: no such id, or it can't be opened; `Unsupported`: this host can't use
   * it.
   */
  driver<K extends DriverKind>(kind: K, id: string): Promise<Drivers[K]>;
  /**
   * The id of the host's choice among the drivers of a kind. If none is usable, it is the first one's, whose opening says why. Null: there
   * is none.
   */
  preferred(kind: DriverKind): Promise<string | null>;
  /** The ids of the installed drivers of a kind. None of them is asked. */
  installed(kind: DriverKind): Promise<readonly string[]>;
  /** All installed drivers, the host's choice first. A driver whose probe does not answer within a second is listed as unusable. */
  drivers(kind: DriverKind): Promise<readonly ({ readonly id: string } & Probe)[]>;
  /** A call for the plugin's own work, without a caller; `timeout` in milliseconds. */
  call(options?: Sparse<{ signal: AbortSignal; timeout: number }>): Call;
}

/**
 * The provider that opens also closes. The services that it needs are open when `probe` and `open` are called, and still open in `close`.
 */
export interface Provider<T> {
  /**
   * Only looks: it changes nothing that lasts. It has ten seconds. A no is asked again after ten seconds, since the host may have got what
   * it lacked. `ResourceExhausted` (a full disk, no free descriptor) is no answer about the host: the probe is repeated at once.
   */
  probe?(call: Call): Promise<Probe>;
  /** Has ten minutes. A value that comes later is closed at once. */
  open(call: Call): Promise<T>;
  /** Has ten seconds. Closing what is closed already does nothing. */
  close?(call: Call, opened: T): Promise<void>;
}
export type Probe = { readonly usable: true } | { readonly usable: false; readonly reason: string; readonly hint: string | null };
