/**
 * How far a container's log has been sent, on disk beside it: one line of a fixed length, written with one call, so that a killed daemon
 * leaves the old one or the new one. It is not synced: after a power cut it may be older, and then some lines are sent twice.
 */
import { closeSync, constants, openSync, readFileSync, writeSync } from "node:fs";

/** The next byte of a stream that was not sent: the entry that has it, and how many bytes of that entry were sent before. */
export interface Place {
  /** Of the file. */
  readonly generation: bigint;
  readonly entry: number;
  readonly done: number;
}
export interface Position {
  readonly stdout: Place;
  readonly stderr: Place;
}

const length = 192;
/** The last word of the line when the container has ended and everything was sent. */
const whole = "whole";

export class PositionFile {
  readonly #path: string;
  #file: number | null = null;

  constructor(path: string) {
    this.#path = path;
  }

  /** Null: nothing has been sent, or the file is torn. */
  read(): Position | null {
    let text: string;
    try {
      text = readFileSync(this.#path, "latin1");
    } catch {
      return null;
    }
    const match = /^(\d{1,20}) (\d{1,15}) (\d{1,15}) (\d{1,20}) (\d{1,15}) (\d{1,15})(?: whole)? *\n$/.exec(text);
    if (match === null) return null;
    const place = (at: number): Place => ({
      generation: BigInt(match[at] ?? 0),
      entry: Number(match[at + 1]),
      done: Number(match[at + 2]),
    });
    return { stdout: place(1), stderr: place(4) };
  }

  /** Whether an ended container's log was sent to its end. */
  isWhole(): boolean {
    try {
      return readFileSync(this.#path, "latin1").trimEnd().endsWith(whole);
    } catch {
      return false;
    }
  }

  write({ stdout, stderr }: Position, isWhole = false): void {
    const places = [stdout, stderr].map(({ generation, entry, done }) => `${generation} ${entry} ${done}`).join(" ");
    const text = isWhole ? `${places} ${whole}` : places;
    this.#file ??= openSync(this.#path, constants.O_WRONLY | constants.O_CREAT, 0o600);
    writeSync(this.#file, `${text.padEnd(length - 1)}\n`, 0, "latin1");
  }

  close(): void {
    if (this.#file !== null) closeSync(this.#file);
    this.#file = null;
  }
}
