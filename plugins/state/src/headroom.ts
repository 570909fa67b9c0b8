/**
 * Free space at the end of the database file, allocated on disk before it is needed. lmdb writes every change to new pages, so on a full
 * disk it could not even record a removal. New records must leave this space free; changes and removals may use it.
 */
import { closeSync, fstatSync, openSync, writeSync } from "node:fs";
import { constants } from "node:os";
import { asError, fail, systemCode } from "@tsbox/kernel";

/** In bytes: the space after the last page in use, and the threshold below which it is extended. */
const whole = 1 << 20;
const least = whole / 2;
const step = 64 << 10;

/** lmdb reports numbers, and for backups only the text of strerror(3). */
const codes: readonly unknown[] = [constants.errno.ENOSPC, constants.errno.EDQUOT];
const words = /^(No space left on device|Disk quota exceeded)/;

function isFull(error: unknown): boolean {
  const { code, message } = asError(error) as Error & { readonly code?: unknown };
  return ["ENOSPC", "EDQUOT"].includes(systemCode(error) ?? "") || codes.includes(code) || words.test(message);
}

/** Whether there was room for the write. */
export async function roomFor(write: Promise<void>): Promise<boolean> {
  try {
    await write;
    return true;
  } catch (error) {
    if (isFull(error)) return false;
    throw error;
  }
}

export class Headroom {
  readonly #used: () => number;
  /** Opened for appending: lmdb may write beyond the end at the same time, and the two never overwrite each other. */
  readonly #file: number;

  /** `used`: the number of bytes that lmdb uses. */
  constructor(path: string, used: () => number) {
    this.#used = used;
    this.#file = openSync(path, "a");
    this.#makeUp();
  }

  /** Called before a write that adds records. `ResourceExhausted`: the disk is full. */
  admit(): void {
    if (this.#left() >= least || this.#makeUp()) return;
    throw fail("ResourceExhausted", "no space left on the disk of the engine's root directory; make some: tsbox rm, rmi, system prune");
  }

  close(): void {
    closeSync(this.#file);
  }

  #left(): number {
    return fstatSync(this.#file).size - this.#used();
  }

  #makeUp(): boolean {
    const zeros = Buffer.alloc(step);
    try {
      while (this.#left() < whole) writeSync(this.#file, zeros);
      return true;
    } catch (error) {
      if (!isFull(error)) throw error;
      return this.#left() >= least;
    }
  }
}
