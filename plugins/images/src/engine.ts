/** The state that the service's verbs share. */
import type { Call, Descriptor, EventsService, RegistryDriver, SnapshotName, StorageDriver } from "@tsbox/kernel";
import type { Registries } from "./place.ts";
import type { ImageRecords } from "./records.ts";
import type { Unpacker } from "./unpack.ts";

export interface ImagesEngine extends Unpacker, Registries {
  readonly records: ImageRecords;
  readonly events: EventsService;
  /** The size of committed snapshots, by driver and name. */
  readonly sizes: Map<string, number>;
  /** Snapshots and blobs of images that are being made: no sweep removes them before the image has its name. */
  readonly leases: Leases;
  /** Snapshots that no image needs any more, but that had children when their image was removed. */
  readonly stranded: Set<SnapshotName>;
  /** A directory for files before they are in the content store; emptied at each start. */
  readonly workDirectory: string;
  /** Every registry driver that can be opened. */
  openRegistries(): Promise<readonly RegistryDriver[]>;
  preferredStorage(): Promise<string>;
  /** Every storage driver that works here, the preferred one first. An image has layers in each driver that one of its containers uses. */
  storages(): Promise<readonly OpenStorage[]>;
  readonly hooks: {
    beforePull(call: Call, ref: string): Promise<void>;
    resolveImage(call: Call, ref: string): Promise<Descriptor | undefined>;
  };
}

export interface OpenStorage {
  readonly id: string;
  readonly storage: StorageDriver;
}

export class Leases {
  readonly #counts: Map<string, number> = new Map();
  /** Removals that are running. */
  readonly #leaving: Map<string, Promise<unknown>> = new Map();

  has(name: string): boolean {
    return this.#counts.has(name);
  }

  /**
   * Until the answered function is called, these are not removed. If some are being removed already, this waits for that, so that the
   * caller does not find them while they disappear.
   */
  async hold(names: readonly string[]): Promise<() => void> {
    for (const name of names) this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
    await Promise.allSettled(names.flatMap((name) => this.#leaving.get(name) ?? []));
    return () => {
      for (const name of names) {
        const left = (this.#counts.get(name) ?? 1) - 1;
        if (left === 0) this.#counts.delete(name);
        else this.#counts.set(name, left);
      }
    };
  }

  /** Removes the name unless there is a lease on it. Answers whether it was removed. */
  async drop(name: string, remove: () => Promise<unknown>): Promise<boolean> {
    if (this.has(name)) return false;
    const leaving = remove();
    this.#leaving.set(name, leaving);
    try {
      await leaving;
    } finally {
      if (this.#leaving.get(name) === leaving) this.#leaving.delete(name);
    }
    return true;
  }
}

/** Takes leases on more names, until the work that has the leases ends. */
export type Hold = (names: readonly string[]) => Promise<void>;
