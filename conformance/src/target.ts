/** The driver that a suite is run over. */
import type { HostToolkit, Plugin, Strings } from "@tsbox/kernel";
import type { LogSink } from "./log/world.ts";
import type { Measurement } from "./measure.ts";
import { type OpenedPart, openDriver } from "./plugin-subject.ts";
import type { RegistrySource } from "./registry/world.ts";
import type { BaseWorld, Rule } from "./rule.ts";

export interface Target {
  /** `storage`, `exec`, `network`, `volume`, `log` or `registry`. */
  readonly kind: string;
  /** The driver's id, as its plugin provides it. */
  readonly id: string;
  /** The plugin; the suite opens instances of its own, apart from any engine. */
  readonly plugin: Plugin;
  /** The plugin's config, as in an engine's list. Default: none. */
  readonly config?: unknown;
  /** Where to try the driver: a directory on the file system that it is meant for. Default: that of temporary files. */
  readonly directory?: string | undefined;
  /**
   * The plugin's module as import() takes it (`import.meta.resolve("../src/index.js")`), for the rules that open the driver in a process of
   * its own, and kill it. Default: those rules are skipped.
   */
  readonly module?: string | undefined;
  /** Of the kind `storage`: the mebibytes of the smallest disk that the driver works on. The rules of a full disk need it. Default: 0. */
  readonly leastDisk?: number | undefined;
  /** Of the kind `network`: the options of the networks that the suite makes, in the driver's own words. Default: none. */
  readonly networkOptions?: Strings | undefined;
  /** Of the kind `log`: makes a sink for the driver. Default: the rules that need one are skipped. */
  readonly logSink?: (() => Promise<LogSink>) | undefined;
  /** Of the kind `registry`: makes a registry for the driver of this id, in a directory of its own. Default: as with `logSink`. */
  readonly registrySource?: ((id: string, directory: string) => Promise<RegistrySource>) | undefined;
}

/** The suite of one kind. */
export interface Kind<World extends BaseWorld> {
  readonly rules: readonly Rule<World>[];
  /** The reason why no driver of the kind can be tried on this host, or null. */
  whyNot(): string | null;
  /** A new world on the file system of `directory`. */
  world(target: Target, host: HostToolkit, directory: string): Promise<World>;
  /** The config with which the driver is opened at first, to see whether this host can use it. Missing: the target's. */
  trial?(target: Target): Promise<{ readonly config: unknown; close(): Promise<void> }>;
  /** The performance section of a report. Missing: the kind has none. */
  performance?(makeWorld: () => Promise<World>): Promise<readonly Measurement[]>;
}

/** Opens the driver with a directory of its own. */
export async function openTarget<K extends "storage" | "exec" | "network" | "volume" | "log" | "registry">(
  kind: K,
  { plugin, id, config }: Target,
  host: HostToolkit,
  directory: string,
): Promise<OpenedPart<Awaited<ReturnType<typeof openDriver<K>>>["value"]>> {
  return openDriver(plugin, kind, id, { directory, services: { host }, config });
}
