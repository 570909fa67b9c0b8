/** The host of plugins: what it is started with, and what the daemon asks of it. */
import type { Call, Logger } from "../contract/call.ts";
import type { DriverKind, Drivers, Probe, ServiceKind, Services } from "../contract/plugin.ts";
import type { HookRegistry } from "../hooks.ts";
import type { EngineConfig } from "./config.ts";
import type { PluginLimits } from "./guard.ts";

export interface HostOptions {
  /** The path of the engine's own list of plugins. Packages are searched beside it, then below `<rootDirectory>/plugins`. */
  readonly engineList: string;
  readonly config: EngineConfig;
  readonly rootDirectory: string;
  readonly stateDirectory: string;
  readonly engineId: string;
  readonly log: Logger;
  /** In place of the default deadlines. */
  readonly limits?: Partial<PluginLimits>;
}

export interface Host {
  service<K extends ServiceKind>(kind: K): Services[K];
  driver<K extends DriverKind>(kind: K, id: string): Promise<Drivers[K]>;
  /**
   * The id of this host's choice among the drivers of a kind. If none is usable, it is the first one's, whose opening says why. Null: there
   * is none.
   */
  preferred(kind: DriverKind): Promise<string | null>;
  /** All installed drivers of a kind, this host's choice first. */
  drivers(kind: DriverKind): Promise<readonly ({ readonly id: string } & Probe)[]>;
  call(options?: { readonly signal?: AbortSignal; readonly timeout?: number }): Call;
  readonly hooks: HookRegistry;
  /** The name of the plugin whose code an error comes from, by its stack. Null: the engine's own. */
  pluginOf(error: Error): string | null;
  /** Calls `shutdown`, then closes everything in reverse order. The first error is thrown when everything is closed. */
  stop(): Promise<void>;
}
