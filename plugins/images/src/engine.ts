/** What the verbs of the service share. */
import type { Call, Descriptor, EventsService, RegistryDriver, SnapshotName, StorageDriver } from "@tsbox/kernel";
import type { ImageRecords } from "./records.ts";
import type { Unpacker } from "./unpack.ts";

export interface ImagesEngine extends Unpacker {
  readonly records: ImageRecords;
  readonly events: EventsService;
  /** What committed snapshots take, by driver and name. */
  readonly sizes: Map<string, number>;
  /** Snapshots and blobs of images that are being made: nobody may sweep them until the image has its name. */
  readonly leases: Leases;
  /** Snapshots that no image needs any more, but something stood on when their image went. */
  readonly stranded: Set<SnapshotName>;
  /** For files that are on their way into the content store; emptied at each start. */
  readonly workDirectory: string;
  registry(scheme: string): Promise<RegistryDriver>;
  preferredStorage(): Promise<string>;
  /** Every storage driver that works here, the preferred one first. An image has layers in each that one of its containers asked for. */
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
  /** Removals that are under way. */
  readonly #leaving: Map<string, Promise<unknown>> = new Map();

  has(name: string): boolean {
    return this.#counts.has(name);
  }

  /**
   * Until the answered function is called, nobody removes these. What was being removed when they were asked for is gone before this
   * answers, so that who looks next does not find it on its way out.
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

  /** Removes what nobody holds. Whether it did. */
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

/** Takes hold of more names, until the work that it was made for has ended. */
export type Hold = (names: readonly string[]) => Promise<void>;
