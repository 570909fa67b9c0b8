/** A container's log, as its shim writes it (native/shim/src/log.rs draws the formats), line by line, while it grows. */
import { type FSWatcher, watch } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import type { Call, LogLine, ShimLog, Sparse } from "@tsbox/kernel";

export type LogOptions = Sparse<{ follow: boolean; tail: number; since: number; until: number; stdout: boolean; stderr: boolean }>;

interface Entry {
  readonly stream: "stdout" | "stderr";
  readonly nanoseconds: bigint;
  readonly bytes: Buffer;
}

/** `ended`: resolves when the container writes no more. */
export async function* readLog(call: Call, log: ShimLog, options: LogOptions, ended: Promise<unknown> | null): AsyncGenerator<LogLine> {
  const wanted = (line: LogLine): boolean =>
    (line.stream === "stdout" ? (options.stdout ?? true) : (options.stderr ?? true)) &&
    (options.since === undefined || BigInt(line.at) >= nanoseconds(options.since)) &&
    (options.until === undefined || BigInt(line.at) <= nanoseconds(options.until));
  const cut = new LineCutter();
  const cursor: Cursor = { inode: null, offset: 0 };
  const parse = log.driver === "json-file" ? parseJson : parseLocal;
  const tail: LogLine[] = [];
  const until = options.tail ?? Number.POSITIVE_INFINITY;
  for await (const entry of history(log, cursor, parse))
    for (const line of cut.push(entry)) {
      if (!wanted(line)) continue;
      if (until === Number.POSITIVE_INFINITY) yield line;
      else if (until > 0) {
        tail.push(line);
        if (tail.length > 2 * until + 1024) tail.splice(0, tail.length - until);
      }
    }
  yield* tail.slice(-until || tail.length);
  if (options.follow && ended !== null) {
    for await (const entry of follow(call, log, cursor, parse, ended)) for (const line of cut.push(entry)) if (wanted(line)) yield line;
  }
  // What the container left without a newline.
  if (until !== 0 || options.follow) for (const line of cut.rest()) if (wanted(line)) yield line;
}

const nanoseconds = (milliseconds: number): bigint => BigInt(Math.round(milliseconds * 1000)) * 1000n;

/** Where reading stands: which file, and how far. */
interface Cursor {
  inode: number | null;
  offset: number;
}

type Parse = (buffer: Buffer) => { readonly entries: readonly Entry[]; readonly taken: number };

/** The rotated files, the oldest first, then the present one as far as it goes now. */
async function* history(log: ShimLog, cursor: Cursor, parse: Parse): AsyncGenerator<Entry> {
  for (let at = log.maxFiles - 1; at > 0; at -= 1) yield* readFile(`${log.path}.${at}`, { inode: null, offset: 0 }, parse);
  yield* readFile(log.path, cursor, parse);
}

async function* readFile(path: string, cursor: Cursor, parse: Parse): AsyncGenerator<Entry> {
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch {
    // Never written, or rotated away.
    return;
  }
  try {
    const { ino } = await file.stat();
    if (cursor.inode !== ino) {
      cursor.inode = ino;
      cursor.offset = 0;
    }
    yield* readOn(file, cursor, parse);
  } finally {
    await file.close();
  }
}

async function* readOn(file: FileHandle, cursor: Cursor, parse: Parse): AsyncGenerator<Entry> {
  let size = 256 << 10;
  for (;;) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(size), 0, size, cursor.offset);
    if (bytesRead === 0) return;
    const { entries, taken } = parse(buffer.subarray(0, bytesRead));
    cursor.offset += taken;
    yield* entries;
    // A record that is not whole: longer than the buffer, or still being written.
    if (taken === 0 && bytesRead < size) return;
    if (taken === 0) size *= 2;
  }
}

async function* follow(call: Call, log: ShimLog, cursor: Cursor, parse: Parse, ended: Promise<unknown>): AsyncGenerator<Entry> {
  let wake: () => void = () => {};
  let changed = true;
  let over = false;
  const notice = (): void => {
    changed = true;
    wake();
  };
  const finish = (): void => {
    over = true;
    notice();
  };
  const watcher: FSWatcher = watch(log.path.slice(0, log.path.lastIndexOf("/")), notice);
  ended.then(finish, finish);
  call.signal.addEventListener("abort", finish, { once: true });
  try {
    for (;;) {
      while (changed) {
        changed = false;
        // A rotation between two looks: what was left of the old file is read under its new name first.
        const now = await stat(log.path).catch(() => null);
        if (now !== null && cursor.inode !== null && now.ino !== cursor.inode) yield* readFile(`${log.path}.1`, cursor, parse);
        yield* readFile(log.path, cursor, parse);
      }
      if (over) return;
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (changed) resolve();
      });
    }
  } finally {
    watcher.close();
  }
}

function parseLocal(buffer: Buffer): { entries: Entry[]; taken: number } {
  const entries: Entry[] = [];
  let at = 0;
  while (at + 16 <= buffer.length) {
    const end = at + 16 + buffer.readUInt32LE(at);
    if (end + 4 > buffer.length) break;
    entries.push({
      stream: buffer[at + 4] === 2 ? "stderr" : "stdout",
      nanoseconds: buffer.readBigUInt64LE(at + 8),
      bytes: buffer.subarray(at + 16, end),
    });
    at = end + 4;
  }
  return { entries, taken: at };
}

function parseJson(buffer: Buffer): { entries: Entry[]; taken: number } {
  const end = buffer.lastIndexOf(10) + 1;
  const entries = buffer
    .subarray(0, end)
    .toString()
    .split("\n")
    .filter((line) => line !== "")
    .map((line): Entry => {
      const { log, stream, time } = JSON.parse(line) as { log: string; stream: "stdout" | "stderr"; time: string };
      const fraction = /\.(\d+)/.exec(time)?.[1] ?? "";
      const seconds = BigInt(Math.floor(Date.parse(time) / 1000));
      return { stream, nanoseconds: seconds * 1_000_000_000n + BigInt(fraction.padEnd(9, "0")), bytes: Buffer.from(log) };
    });
  return { entries, taken: end };
}

/** Joins what came in pieces: a line has the time of its first byte. */
class LineCutter {
  readonly #open: Map<Entry["stream"], { at: bigint; parts: Buffer[] }> = new Map();

  *push({ stream, nanoseconds: at, bytes }: Entry): Generator<LogLine> {
    let from = 0;
    while (from < bytes.length) {
      const newline = bytes.indexOf(10, from);
      const begun = this.#open.get(stream);
      if (newline < 0) {
        this.#open.set(stream, { at: begun?.at ?? at, parts: [...(begun?.parts ?? []), bytes.subarray(from)] });
        return;
      }
      const piece = bytes.subarray(from, newline + 1);
      this.#open.delete(stream);
      yield { stream, at: String(begun?.at ?? at), line: begun ? Buffer.concat([...begun.parts, piece]) : piece };
      from = newline + 1;
    }
  }

  *rest(): Generator<LogLine> {
    for (const [stream, { at, parts }] of this.#open) yield { stream, at: String(at), line: Buffer.concat(parts) };
    this.#open.clear();
  }
}
