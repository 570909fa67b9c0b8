/** Joins entries, which may end anywhere, into whole lines. */
import { type LogPart, limits } from "@tsbox/kernel";
import type { Entry } from "./formats.ts";

const newline = 10;

interface Open {
  readonly at: bigint;
  readonly parts: Buffer[];
  length: number;
}

/** A line has the time of its first byte and is returned once it is complete. A line beyond the length limit is returned in parts. */
export class Lines {
  readonly #open: Map<Entry["stream"], Open> = new Map();

  *push({ stream, nanoseconds, bytes }: Entry): Generator<LogPart> {
    if (bytes.length === 0) return;
    let from = 0;
    const begun = this.#open.get(stream);
    if (begun !== undefined) {
      const end = bytes.indexOf(newline) + 1;
      yield* this.#add(begun, stream, bytes.subarray(0, end === 0 ? bytes.length : end));
      if (end === 0) return;
      this.#open.delete(stream);
      if (begun.length > 0) yield whole(stream, begun);
      from = end;
    }
    const to = Math.max(bytes.lastIndexOf(newline) + 1, from);
    if (to > from) yield { stream, at: String(nanoseconds), lines: bytes.subarray(from, to) };
    if (to === bytes.length) return;
    const open: Open = { at: nanoseconds, parts: [], length: 0 };
    this.#open.set(stream, open);
    yield* this.#add(open, stream, bytes.subarray(to));
  }

  /** The lines that have no newline yet. */
  *rest(): Generator<LogPart> {
    for (const [stream, open] of this.#open) if (open.length > 0) yield whole(stream, open);
    this.#open.clear();
  }

  *#add(open: Open, stream: Entry["stream"], bytes: Buffer): Generator<LogPart> {
    if (open.length + bytes.length > limits.longestLine) {
      yield { stream, at: String(open.at), lines: Buffer.concat([...open.parts, bytes]) };
      open.parts.length = 0;
      open.length = 0;
      return;
    }
    // A copy, because it outlives the buffer that it was read into.
    open.parts.push(Buffer.from(bytes));
    open.length += bytes.length;
    if (open.parts.length > mostParts) open.parts.splice(0, open.parts.length, Buffer.concat(open.parts));
  }
}

const mostParts = 64;

const whole = (stream: Entry["stream"], { at, parts }: Open): LogPart => ({ stream, at: String(at), lines: Buffer.concat(parts) });

export function countLines(bytes: Uint8Array): number {
  let count = 0;
  for (let at = bytes.indexOf(newline); at >= 0; at = bytes.indexOf(newline, at + 1)) count += 1;
  return count;
}

/** The lines without the first `skip`; null: there are no more. */
export function skipLines(lines: Uint8Array, skip: number): Uint8Array | null {
  let at = 0;
  for (let left = skip; left > 0; left -= 1) {
    const end = lines.indexOf(newline, at);
    if (end < 0) return null;
    at = end + 1;
  }
  return at < lines.length ? lines.subarray(at) : null;
}
