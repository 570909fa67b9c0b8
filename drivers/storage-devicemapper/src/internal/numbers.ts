/**
 * The numbers of thin devices in a pool, of 24 bits; 0 is the base device. Each is used once, until the numbers begin again. The file
 * `numbers.json` says how far they may have been given away, so that a crash can leave no device that nobody knows: those between `swept`
 * and `next` that no snapshot has are removed when the pool is opened.
 */
import { mkdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { fail } from "@tsbox/kernel";
import { replaceFile } from "./records.ts";

/** DM_THIN: dev_id is 24 bits wide. */
export const numberCount: number = 2 ** 24;
/** Numbers that are written down at once: a write to the disk for each would slow down every container. */
const batch = 256;

interface Written {
  readonly swept: number;
  readonly next: number;
}

export class Numbers {
  readonly #path: string;
  readonly #used = new Set<number>();
  #swept = 1;
  #next = 1;
  /** The first number that is not written down as given away. */
  #written = 1;

  constructor(path: string) {
    this.#path = path;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const { swept, next } = readWritten(path);
    this.#swept = swept;
    this.#next = next;
    this.#written = next;
  }

  /** A number that no device has. It is written down before it is answered. */
  async take(): Promise<number> {
    if (this.#used.size >= numberCount / 2) throw fail("ResourceExhausted", "the pool has no number for another device; remove images");
    // What was swept half a round ago is old enough: a device that a power cut has left is removed when its number is given away again.
    if (distance(this.#swept, this.#next) > numberCount / 2) this.#swept = this.#written;
    let number = this.#next;
    while (this.#used.has(number)) number = after(number);
    this.#used.add(number);
    this.#next = after(number);
    if (distance(this.#swept, this.#next) > distance(this.#swept, this.#written)) {
      this.#written = (this.#next + batch - 1) % numberCount || 1;
      await this.#write();
    }
    return number;
  }

  /** The device of this number is gone. */
  free(number: number): void {
    this.#used.delete(number);
  }

  /** The numbers whose devices may exist without a snapshot. `known`: those of snapshots. */
  begin(known: Iterable<number>): readonly number[] {
    for (const number of known) this.#used.add(number);
    const unknown: number[] = [];
    for (let at = this.#swept; at !== this.#written; at = after(at)) if (!this.#used.has(at)) unknown.push(at);
    return unknown;
  }

  /** The devices that `begin` has answered are gone. */
  async swept(): Promise<void> {
    if (this.#swept === this.#written) return;
    this.#swept = this.#written;
    this.#next = this.#written;
    await this.#write();
  }

  async #write(): Promise<void> {
    await replaceFile(this.#path, JSON.stringify({ swept: this.#swept, next: this.#written } satisfies Written));
  }
}

const after = (number: number): number => (number + 1 === numberCount ? 1 : number + 1);
const distance = (from: number, to: number): number => (to - from + numberCount) % numberCount;

function readWritten(path: string): Written {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { swept: 1, next: 1 };
    throw error;
  }
}
