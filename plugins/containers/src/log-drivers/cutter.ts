/** Cuts entries of the log, which may end anywhere, into records: lines, and pieces of lines that are too long. */
import { randomBytes } from "node:crypto";
import type { LogPartial, LogRecord } from "@tsbox/kernel";
import type { Entry } from "../logs/formats.ts";
import type { Place } from "./position.ts";

/** Docker's longest piece of a line, in bytes. */
const longestRecord = 16 << 10;
const newline = 10;

export interface PlacedEntry extends Entry {
  /** Where its bytes begin; `done` is above 0 if some of the entry's bytes were left out. */
  readonly place: Place;
}
/** A record, and the place behind it. */
export interface Cut {
  readonly record: LogRecord;
  readonly end: Place;
}

/** A line without its newline yet. */
interface Open {
  readonly at: bigint;
  parts: Buffer[];
  length: number;
  end: Place;
  /** Pieces of this line that were cut already. */
  pieces: { readonly id: string; count: number } | null;
}

export class Cutter {
  readonly #open: Map<Entry["stream"], Open> = new Map();

  /** Whether the stream's last line is not complete: its bytes were not cut yet. */
  isOpen(stream: Entry["stream"]): boolean {
    return (this.#open.get(stream)?.length ?? 0) > 0;
  }

  *push({ stream, nanoseconds, bytes, place }: PlacedEntry): Generator<Cut> {
    for (let from = 0; from < bytes.length; ) {
      const open = this.#open.get(stream) ?? { at: nanoseconds, parts: [], length: 0, end: place, pieces: null };
      const room = longestRecord - open.length;
      const found = bytes.subarray(from, from + room + 1).indexOf(newline);
      const isWhole = found >= 0;
      const to = isWhole ? from + found : Math.min(bytes.length, from + room);
      const piece = bytes.subarray(from, to);
      from = isWhole ? to + 1 : to;
      open.end = { ...place, done: place.done + from };
      if (!isWhole && open.length + piece.length < longestRecord) {
        // A copy, because it outlives the buffer that it was read into.
        open.parts.push(Buffer.from(piece));
        open.length += piece.length;
        if (open.parts.length > mostParts) open.parts = [Buffer.concat(open.parts)];
        this.#open.set(stream, open);
        return;
      }
      const line = open.parts.length === 0 ? piece : Buffer.concat([...open.parts, piece]);
      yield this.#cut(stream, open, line, isWhole);
    }
  }

  /** The lines without a newline: no more comes. */
  *rest(): Generator<Cut> {
    for (const [stream, open] of [...this.#open])
      if (open.length > 0) yield this.#cut(stream, open, Buffer.concat(open.parts), true);
      else this.#open.delete(stream);
  }

  #cut(stream: Entry["stream"], open: Open, line: Buffer, isLast: boolean): Cut {
    let partial: LogPartial | null = null;
    if (!isLast || open.pieces !== null) {
      const pieces = open.pieces ?? { id: randomBytes(16).toString("hex"), count: 0 };
      pieces.count += 1;
      open.pieces = pieces;
      partial = { id: pieces.id, ordinal: pieces.count, last: isLast };
    }
    if (isLast) this.#open.delete(stream);
    else this.#open.set(stream, Object.assign(open, { parts: [], length: 0 }));
    return { record: { stream, at: String(open.at), line, partial }, end: open.end };
  }
}

const mostParts = 64;
