/** Containers that are made and started at once: neither waits for the disk, who asked for them does. */
import type { Container, ContainerId } from "@tsbox/kernel";

/** What is written of such a container: one that runs, since after a power cut it is one that ran. The start need not write it again. */
export function startedAtOnce(record: Container): Container {
  return { ...record, status: "running", startedAt: record.createdAt };
}

/** Whether a durable record may be of a container whose `create` nobody has heard the end of. */
export function mayBeUnheard({ startedAt, createdAt }: Container): boolean {
  return startedAt === null || startedAt === createdAt;
}

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

  has(id: ContainerId): boolean {
    return this.#all.has(id);
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
