/**
 * Records that could not be written, as when the disk is full. The record in memory counts, and the write is retried.
 */

const retryEvery = 1000;

export class Unwritten {
  readonly #writes: Map<string, () => void | Promise<void>> = new Map();
  readonly #warn: (text: string) => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(warn: (text: string) => void) {
    this.#warn = warn;
  }

  has(key: string): boolean {
    return this.#writes.has(key);
  }

  /** `write` throws while there is no room. It replaces the pending write with the same key. */
  add(key: string, write: () => void | Promise<void>, why: unknown): void {
    if (!this.#writes.has(key)) this.#warn(`can't write a record, which is tried again: ${String(why)}`);
    this.#writes.set(key, write);
    this.#later();
  }

  /** Cancels a pending write: a newer record is written, or the record is removed. */
  forget(key: string): void {
    this.#writes.delete(key);
  }

  #later(): void {
    this.#timer ??= setTimeout(() => void this.#again(), retryEvery).unref();
  }

  async #again(): Promise<void> {
    for (const [key, write] of [...this.#writes])
      try {
        // A write that was cancelled meanwhile is skipped.
        if (this.#writes.get(key) !== write) continue;
        await write();
        if (this.#writes.get(key) === write) this.#writes.delete(key);
      } catch {
        // Still no room.
      }
    this.#timer = undefined;
    if (this.#writes.size > 0) this.#later();
  }
}
