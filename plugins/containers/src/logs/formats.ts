/** The two formats of a log's file, as native/shim/src/log.rs draws them, forwards and backwards. */
import type { FileHandle } from "node:fs/promises";

/** What was written at one moment: any number of lines, the last of which may go on in a later entry of its stream. */
export interface Entry {
  readonly stream: "stdout" | "stderr";
  readonly nanoseconds: bigint;
  readonly bytes: Buffer;
}

/** How far a file is to be read, and which one it is: a file whose generation has changed is another one, under the same inode. */
export interface Extent {
  /** Null: nothing was written to it yet. */
  readonly generation: bigint | null;
  readonly end: number;
}

export interface Format {
  extent(file: FileHandle): Promise<Extent>;
  /** The whole entries at the beginning of `buffer`, and how many of its bytes they take. */
  parse(buffer: Buffer): { readonly entries: readonly Entry[]; readonly taken: number };
  /** Whole entries from the end of `buffer` backwards, each with its offset in it. Ends where a beginning is not in sight. `first`: the buffer begins where the file does. */
  backwards(buffer: Buffer, first: boolean): Iterable<{ readonly at: number; readonly stream: Entry["stream"]; readonly bytes: Buffer }>;
}

const head = 16;
const foot = 4;
const stderr = 2;
/** The first record: where the others end, and the file's generation in the place of a time. */
const beginning = 3;
const beginningLength = head + 8 + foot;

/** By its inode, where nothing in it says more. */
async function plainExtent(file: FileHandle): Promise<Extent> {
  const { ino, size } = await file.stat();
  return { generation: size === 0 ? null : BigInt(ino), end: size };
}

/** Records of one read each, with its length before and behind it. */
export const local: Format = {
  async extent(file) {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(beginningLength), 0, beginningLength, 0);
    if (bytesRead < beginningLength || buffer[4] !== beginning) return plainExtent(file);
    return { generation: buffer.readBigUInt64LE(8), end: Number(buffer.readBigUInt64LE(head)) };
  },

  parse(buffer) {
    const entries: Entry[] = [];
    let at = 0;
    while (at + head <= buffer.length) {
      const end = at + head + buffer.readUInt32LE(at);
      if (end + foot > buffer.length) break;
      if (buffer[at + 4] !== beginning)
        entries.push({
          stream: buffer[at + 4] === stderr ? "stderr" : "stdout",
          nanoseconds: buffer.readBigUInt64LE(at + 8),
          bytes: buffer.subarray(at + head, end),
        });
      at = end + foot;
    }
    return { entries, taken: at };
  },

  *backwards(buffer) {
    for (let end = buffer.length; end >= head + foot; ) {
      const length = buffer.readUInt32LE(end - foot);
      const at = end - foot - length - head;
      if (at < 0 || buffer.readUInt32LE(at) !== length || buffer[at + 4] === beginning) return;
      yield { at, stream: buffer[at + 4] === stderr ? "stderr" : "stdout", bytes: buffer.subarray(at + head, end - foot) };
      end = at;
    }
  },
};

const newline = 10;
const backslash = 92;
const before = Buffer.from('{"log":"');
/** As the shim writes it: a time has always the same length. */
const after = Buffer.from('","stream":"stdout","time":"2026-01-01T00:00:00.000000000Z"}');
const timeLength = '2026-01-01T00:00:00.000000000Z"}'.length;

/** Docker's JSON, a line each. Lines of one moment become one entry, so that a million of them are some thousand. */
export const jsonFile: Format = {
  extent: plainExtent,

  parse(buffer) {
    const taken = buffer.lastIndexOf(newline) + 1;
    const merged = new Merged(taken);
    for (let at = 0; at < taken; ) {
      const end = buffer.indexOf(newline, at);
      if (isPlain(buffer, at, end)) {
        const stream = buffer[end - after.length + '","stream":"std'.length] === 101 ? "stderr" : "stdout";
        merged.add(stream, buffer, end - timeLength, buffer.subarray(at + before.length, end - after.length));
      } else if (end > at) {
        const { log, stream, time } = JSON.parse(buffer.toString("utf8", at, end)) as {
          log: string;
          stream: Entry["stream"];
          time: string;
        };
        merged.flush();
        merged.entries.push({ stream, nanoseconds: nanosecondsOf(time), bytes: Buffer.from(log) });
      }
      at = end + 1;
    }
    merged.flush();
    return { entries: merged.entries, taken };
  },

  *backwards(buffer, first) {
    for (let end = buffer.lastIndexOf(newline); end > 0; ) {
      const begun = buffer.lastIndexOf(newline, end - 1);
      // Where a line begins is known by the end of the one before it.
      if (begun < 0 && !first) return;
      const { log, stream } = JSON.parse(buffer.toString("utf8", begun + 1, end)) as { log: string; stream: Entry["stream"] };
      yield { at: begun + 1, stream, bytes: Buffer.from(log) };
      end = begun;
    }
  },
};

/** A whole line of plain text, written as the shim writes it: nothing of it needs to be decoded but the `\n` at its end. */
function isPlain(buffer: Buffer, at: number, end: number): boolean {
  const text = end - after.length;
  return (
    text - at >= before.length + 2 &&
    buffer[text - 1] === 110 &&
    buffer.indexOf(backslash, at) === text - 2 &&
    buffer[end - 1] === 125 &&
    buffer[text] === 34 &&
    buffer[text + '","stream":"'.length] === 115 &&
    buffer[end - timeLength - '"time":"'.length] === 34 &&
    before.compare(buffer, at, at + before.length) === 0
  );
}

/** Lines of one stream and one time, put together in a buffer of their own. */
class Merged {
  readonly entries: Entry[] = [];
  readonly #bytes: Buffer;
  #end = 0;
  #begun = 0;
  #stream: Entry["stream"] = "stdout";
  #time: Buffer = Buffer.alloc(0);

  constructor(size: number) {
    this.#bytes = Buffer.allocUnsafe(size);
  }

  /** `escaped` ends in a backslash and an n. */
  add(stream: Entry["stream"], source: Buffer, timeAt: number, escaped: Buffer): void {
    if (stream !== this.#stream || this.#time.compare(source, timeAt, timeAt + this.#time.length) !== 0 || this.#end === this.#begun) {
      this.flush();
      this.#stream = stream;
      this.#time = source.subarray(timeAt, timeAt + timeLength - 2);
    }
    this.#bytes.set(escaped.subarray(0, -2), this.#end);
    this.#end += escaped.length - 1;
    this.#bytes[this.#end - 1] = newline;
  }

  flush(): void {
    if (this.#end > this.#begun)
      this.entries.push({
        stream: this.#stream,
        nanoseconds: nanosecondsOf(this.#time.toString("latin1")),
        bytes: this.#bytes.subarray(this.#begun, this.#end),
      });
    this.#begun = this.#end;
  }
}

function nanosecondsOf(time: string): bigint {
  const fraction = /\.(\d+)/.exec(time)?.[1] ?? "";
  const seconds = BigInt(Math.floor(Date.parse(time) / 1000));
  return seconds * 1_000_000_000n + BigInt(fraction.padEnd(9, "0"));
}
