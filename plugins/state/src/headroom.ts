/**
 * Room at the end of the database's file, on disk before it is needed: lmdb writes every change to new pages, so on a full disk it could
 * not even record a removal. New records leave it alone; what changes or removes one may use it.
 */
import { closeSync, fstatSync, openSync, writeSync } from "node:fs";
import { constants } from "node:os";
import { asError, fail } from "@tsbox/kernel";

/** Bytes beyond the last page in use, and when they are made up again. */
const whole = 1 << 20;
const least = whole / 2;
const step = 64 << 10;

/** Node has codes; lmdb has numbers, and where it copies nothing but strerror(3)'s words. */
const codes: readonly unknown[] = ["ENOSPC", "EDQUOT", constants.errno.ENOSPC, constants.errno.EDQUOT];
const words = /^(No space left on device|Disk quota exceeded)/;

function isFull(error: unknown): boolean {
  const { code, message } = asError(error) as Error & { readonly code?: unknown };
  return codes.includes(code) || words.test(message);
}

/** Whether there was room for it. */
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
  /** For appending: lmdb may write beyond the end at the same time, and each goes where the other is not. */
  readonly #file: number;

  /** `used`: the bytes that lmdb has in use. */
  constructor(path: string, used: () => number) {
    this.#used = used;
    this.#file = openSync(path, "a");
    this.#makeUp();
  }

  /** Before a write that adds records. `ResourceExhausted`: the disk is full. */
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
