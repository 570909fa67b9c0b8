/**
 * Disk writes of containers that are created and started at once. Create and start don't wait for the disk; the answer to the client does.
 */
import type { Container, ContainerId } from "@tsbox/kernel";

/**
 * The durable record of such a container says that it runs: after a power cut it counts as one that ran. The start need not write it again.
 */
export function startedAtOnce(record: Container): Container {
  return { ...record, status: "running", startedAt: record.createdAt };
}

/** Whether a durable record may belong to a container whose `create` no client got an answer for. */
export function mayBeUnanswered({ startedAt, createdAt }: Container): boolean {
  return startedAt === null || startedAt === createdAt;
}

export class Settling {
  readonly #all: Map<ContainerId, Promise<unknown>> = new Map();

  /** Keeps the promise until it succeeds or `wait` has returned its result. */
  add(id: ContainerId, settling: Promise<unknown>): void {
    this.#all.set(id, settling);
    // A failure is reported by `wait`. A client that never waits has not been answered yet.
    settling.then(
      () => this.#all.delete(id),
      () => {},
    );
  }

  has(id: ContainerId): boolean {
    return this.#all.has(id);
  }

  /** Waits for the disk, and fails as the write did. */
  async wait(id: ContainerId): Promise<void> {
    try {
      await this.#all.get(id);
    } finally {
      this.#all.delete(id);
    }
  }
}
