/** Records that the disk did not take. What is in memory counts meanwhile, and writing is tried again until the disk has room. */

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

  /** `write` throws for as long as there is no room. It replaces the one that waits under the same key. */
  add(key: string, write: () => void | Promise<void>, why: unknown): void {
    if (!this.#writes.has(key)) this.#warn(`can't write a record, which is tried again: ${String(why)}`);
    this.#writes.set(key, write);
    this.#later();
  }

  /** A newer record is written, or none is wanted. */
  forget(key: string): void {
    this.#writes.delete(key);
  }

  #later(): void {
    this.#timer ??= setTimeout(() => void this.#again(), retryEvery).unref();
  }

  async #again(): Promise<void> {
    for (const [key, write] of [...this.#writes])
      try {
        // What was forgotten meanwhile is not written.
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
