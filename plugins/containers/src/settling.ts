/** Containers that are made and not on disk yet. */
import type { ContainerId } from "@tsbox/kernel";

export class Settling {
  readonly #all: Map<ContainerId, Promise<unknown>> = new Map();

  /** Until `wait` has told how it went. */
  add(id: ContainerId, settling: Promise<unknown>): void {
    this.#all.set(id, settling);
    // Told to who waits; who never does has been told nothing yet.
    settling.then(
      () => this.#all.delete(id),
      () => {},
    );
  }

  /** Fails as the disk did. */
  async wait(id: ContainerId): Promise<void> {
    try {
      await this.#all.get(id);
    } finally {
      this.#all.delete(id);
    }
  }
}
