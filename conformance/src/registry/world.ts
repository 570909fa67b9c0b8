/** The parts of a registry rule's world: a new driver, and a registry with one image. */
import type { Access, Call, RegistryDriver } from "@tsbox/kernel";
import type { BaseWorld } from "../rule.ts";

/** A registry of the driver's own kind, made for tests. Its image has one layer of a megabyte at least. */
export interface RegistrySource {
  /** The plugin's config with which its driver reaches the registry. Left out: any. */
  readonly config?: unknown;
  /** Of the image. */
  readonly ref: string;
  /** Well formed, and of no image. */
  readonly missing: string;
  /** No refs of this driver at all. */
  readonly malformed: readonly string[];
  readonly access: Access;
  /** It takes requests and answers none, until `resume`. Null: it can't fall silent. */
  readonly silence: (() => Promise<void>) | null;
  resume(): Promise<void>;
  close(): Promise<void>;
}

export interface RegistryWorld extends BaseWorld {
  readonly driver: RegistryDriver;
  readonly call: Call;
  /** Null: the suite has no registry for this driver. */
  readonly source: RegistrySource | null;
  /** The engine dies without cleanup, and a new one opens the driver: `driver` is another object afterwards. */
  crash(): Promise<void>;
}
