/** From entries, which end anywhere, to whole lines. */
import type { LogPart } from "@tsbox/kernel";
import type { Entry } from "./formats.ts";

const newline = 10;

/** Joins what came in pieces: a line has the time of its first byte, and comes when it is whole. */
export class Lines {
  readonly #open: Map<Entry["stream"], { readonly at: bigint; readonly parts: readonly Buffer[] }> = new Map();

  *push({ stream, nanoseconds: at, bytes }: Entry): Generator<LogPart> {
    if (bytes.length === 0) return;
    let whole = bytes.lastIndexOf(newline) + 1;
    const begun = this.#open.get(stream);
    let from = 0;
    if (begun !== undefined) {
      from = bytes.indexOf(newline) + 1;
      const piece = bytes.subarray(0, from === 0 ? bytes.length : from);
      if (from === 0) {
        this.#open.set(stream, { at: begun.at, parts: [...begun.parts, piece] });
        return;
      }
      this.#open.delete(stream);
      yield { stream, at: String(begun.at), lines: Buffer.concat([...begun.parts, piece]) };
    }
    whole = Math.max(whole, from);
    if (whole > from) yield { stream, at: String(at), lines: bytes.subarray(from, whole) };
    // Kept beyond the buffer that it was read into.
    if (whole < bytes.length) this.#open.set(stream, { at, parts: [Buffer.from(bytes.subarray(whole))] });
  }

  /** What was left without a newline. */
  *rest(): Generator<LogPart> {
    for (const [stream, { at, parts }] of this.#open) yield { stream, at: String(at), lines: Buffer.concat([...parts]) };
    this.#open.clear();
  }
}

export function countLines(bytes: Uint8Array): number {
  let count = 0;
  for (let at = bytes.indexOf(newline); at >= 0; at = bytes.indexOf(newline, at + 1)) count += 1;
  return count;
}

/** Without its first `skip` lines; null when it has no more. */
export function skipLines(lines: Uint8Array, skip: number): Uint8Array | null {
  let at = 0;
  for (let left = skip; left > 0; left -= 1) {
    const end = lines.indexOf(newline, at);
    if (end < 0) return null;
    at = end + 1;
  }
  return at < lines.length ? lines.subarray(at) : null;
}
