/**
 * Docker's JSON format, one object per line, as native/shim/src/log.rs and dockerd write it. Lines of the same time become one entry, so
 * that a million lines become some thousand entries.
 */
import { type Entry, type Format, plainExtent } from "./formats.ts";

interface Line {
  readonly log: string;
  readonly stream: Entry["stream"];
  readonly time: string;
  readonly nanoseconds: bigint;
}

const newline = 10;
const quote = 34;
const backslash = 92;
const before = Buffer.from('{"log":"');

export const jsonFile: Format = {
  extent: plainExtent,

  parse(buffer) {
    const taken = buffer.lastIndexOf(newline) + 1;
    return { entries: new Decoder(buffer.subarray(0, taken)).entries(), taken };
  },

  *backwards(buffer, first) {
    for (let end = buffer.lastIndexOf(newline); end > 0; ) {
      const begun = buffer.lastIndexOf(newline, end - 1);
      // The beginning of a line is known only from the end of the line before it.
      if (begun < 0 && !first) return;
      const line = parsed(buffer, begun + 1, end);
      if (line !== null) yield { at: begun + 1, stream: line.stream, bytes: Buffer.from(line.log) };
      end = begun;
    }
  },
};

/** The character that an escape of two bytes stands for, by its second byte; 0: the escape is longer, or invalid. */
const unescaped = new Uint8Array(256);
for (const [name, meaning] of [...'"\\/bfnrt'].entries()) unescaped[meaning.charCodeAt(0)] = '"\\/\b\f\n\r\t'.charCodeAt(name);

/**
 * Reads the text of each line byte by byte, and expects the same stream and time after it as in an earlier line. JSON.parse is used only
 * when they change, and for escapes longer than two bytes. Invalid lines, which a power cut can leave, are skipped.
 */
class Decoder {
  readonly #entries: Entry[] = [];
  /** Whole lines. The unescaped text, never longer than its escaped form, is written over the beginning of the buffer. */
  readonly #bytes: Buffer;
  /** Where the text of the current entry begins, and where the next text goes. */
  #begun = 0;
  #end = 0;
  /** What follows the text in each line of the current entry, from the quote to the newline. */
  #tail: Buffer = Buffer.alloc(0);
  #stream: Entry["stream"] = "stdout";
  #nanoseconds = 0n;

  /** Overwrites `bytes`. */
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  entries(): readonly Entry[] {
    for (let at = 0; at < this.#bytes.length; ) at = this.#plain(at) ?? this.#other(at);
    this.#flush();
    return this.#entries;
  }

  /**
   * Takes a line that differs from the one before it only in its text. Returns its end; null: it differs in more, and nothing was taken.
   */
  #plain(begun: number): number | null {
    const bytes = this.#bytes;
    if (!isAt(bytes, before, begun)) return null;
    const text = begun + before.length;
    let quoted = text;
    for (let byte = bytes[quoted]; byte !== quote; byte = bytes[quoted]) {
      if ((byte as number) < 32) return null;
      if (byte === backslash) {
        quoted += 1;
        if (unescaped[bytes[quoted] as number] === 0) return null;
      }
      quoted += 1;
    }
    if (this.#tail.length === 0 || !isAt(bytes, this.#tail, quoted)) return null;
    let to = this.#end;
    for (let at = text; at < quoted; at += 1, to += 1) {
      const byte = bytes[at] as number;
      if (byte === backslash) at += 1;
      bytes[to] = byte === backslash ? (unescaped[bytes[at] as number] as number) : byte;
    }
    this.#end = to;
    return quoted + this.#tail.length;
  }

  /** Takes a line of another stream, time or form. Returns its end. */
  #other(begun: number): number {
    const end = this.#bytes.indexOf(newline, begun);
    const line = parsed(this.#bytes, begun, end);
    if (line === null) return end + 1;
    this.#flush();
    this.#tail = Buffer.from(`","stream":"${line.stream}","time":"${line.time}"}\n`);
    [this.#stream, this.#nanoseconds] = [line.stream, line.nanoseconds];
    const next = this.#plain(begun);
    if (next !== null) return next;
    this.#entries.push({ stream: line.stream, nanoseconds: line.nanoseconds, bytes: Buffer.from(line.log) });
    return end + 1;
  }

  #flush(): void {
    if (this.#end > this.#begun)
      this.#entries.push({ stream: this.#stream, nanoseconds: this.#nanoseconds, bytes: this.#bytes.subarray(this.#begun, this.#end) });
    this.#begun = this.#end;
  }
}

function isAt(bytes: Buffer, wanted: Buffer, at: number): boolean {
  for (let index = 0; index < wanted.length; index += 1) if (bytes[at + index] !== wanted[index]) return false;
  return true;
}

/** Null: the line is no log record. */
function parsed(buffer: Buffer, begun: number, end: number): Line | null {
  try {
    const { log, stream, time } = JSON.parse(buffer.toString("utf8", begun, end)) as Record<string, unknown>;
    if (typeof log !== "string" || (stream !== "stdout" && stream !== "stderr") || typeof time !== "string") return null;
    return { log, stream, time, nanoseconds: nanosecondsOf(time) };
  } catch {
    return null;
  }
}

/** The nanoseconds of an RFC 3339 time. Throws RangeError for an invalid one. */
function nanosecondsOf(time: string): bigint {
  const fraction = /\.(\d+)/.exec(time)?.[1] ?? "";
  const seconds = BigInt(Math.floor(Date.parse(time) / 1000));
  return seconds * 1_000_000_000n + BigInt(fraction.padEnd(9, "0"));
}
