/** A container's log, as its shim writes it, while it grows: from the beginning, or its last lines. */
import { type FSWatcher, watch } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Call, LogOptions, LogPart, ShimLog, Sparse } from "@tsbox/kernel";
import type { Entry, Format } from "./formats.ts";
import { jsonFile } from "./json-file.ts";
import { countLines, Lines, skipLines } from "./lines.ts";
import { local } from "./local.ts";
import { findTail } from "./tail.ts";

/** `ended`: resolves when the container writes no more. As docker, the last lines are counted before any are left out for their stream or time. */
export async function* readLog(
  call: Call,
  log: ShimLog,
  options: Sparse<LogOptions>,
  ended: Promise<unknown> | null,
): AsyncGenerator<LogPart> {
  const { tail, since, until } = options;
  const [from, to] = [since === undefined ? null : BigInt(since), until === undefined ? null : BigInt(until)];
  const wanted = ({ stream, at }: LogPart): boolean =>
    (stream === "stdout" ? (options.stdout ?? true) : (options.stderr ?? true)) &&
    (from === null || BigInt(at) >= from) &&
    (to === null || BigInt(at) <= to);
  const format = log.driver === "json-file" ? jsonFile : local;
  const lines = new Lines();
  const cursor: Cursor = { generation: null, offset: 0 };
  // What was asked for up to a moment that has been is all there already.
  const follows = options.follow === true && ended !== null && (to === null || to > BigInt(Date.now()) * 1_000_000n);
  if (tail === undefined || tail > 0) {
    for await (const part of history(log, cursor, format, lines, tail ?? null)) if (wanted(part)) yield part;
  } else if (follows) await skipAll(log, cursor, format, lines);
  if (follows)
    for await (const entry of follow(
      call,
      log,
      cursor,
      format,
      to === null ? ended : Promise.race([ended, moment(call, Number(to / 1_000_000n))]),
    ))
      for (const part of lines.push(entry)) if (wanted(part)) yield part;
  // What the container left without a newline.
  if (tail !== 0 || follows) for (const part of lines.rest()) if (wanted(part)) yield part;
}

/** When it comes (milliseconds since the epoch), or the call ends. */
function moment(call: Call, at: number): Promise<void> {
  return pause(at - Date.now(), undefined, { signal: call.signal, ref: false }).catch(() => {});
}

/** Where reading stands: which file, and how far. */
interface Cursor {
  generation: bigint | null;
  offset: number;
}

/** The rotated files, the oldest first, then the present one as far as it goes now. `tail`: the last lines alone; null: all. */
async function* history(log: ShimLog, cursor: Cursor, format: Format, lines: Lines, tail: number | null): AsyncGenerator<LogPart> {
  const files = await openAll(log);
  try {
    const begin = tail === null ? { file: 0, offset: 0, skip: 0 } : await findTail(files, format, tail);
    let { skip } = begin;
    for (const [at, file] of files.entries()) {
      if (at < begin.file) continue;
      const own: Cursor = at === files.length - 1 ? cursor : { generation: null, offset: 0 };
      own.generation = (await format.extent(file)).generation;
      own.offset = at === begin.file ? begin.offset : 0;
      for await (const entry of readOn(file, own, format))
        for (const part of lines.push(entry)) {
          const left = skip === 0 ? part.lines : skipLines(part.lines, skip);
          if (skip > 0) skip = Math.max(0, skip - countLines(part.lines));
          if (left !== null) yield { ...part, lines: left };
        }
    }
  } finally {
    for (const file of files) await file.close();
  }
}

/** All that are there; the last one is the present one. */
async function openAll(log: ShimLog): Promise<readonly FileHandle[]> {
  const files: FileHandle[] = [];
  for (let at = log.maxFiles - 1; at >= 0; at -= 1) {
    const file = await open(at === 0 ? log.path : `${log.path}.${at}`, "r").catch(() => null);
    // Never written, or rotated away.
    if (file !== null) files.push(file);
  }
  return files;
}

/** Up to where the log goes now; a line that has begun is still to come as a whole. */
async function skipAll(log: ShimLog, cursor: Cursor, format: Format, lines: Lines): Promise<void> {
  for await (const _ of history(log, cursor, format, lines, 1)) {
    // Read and left out.
  }
}

/** What was written since the last look: on in the file that was read, under whichever name it has by now, then in those that came after it. */
async function* readNew(log: ShimLog, cursor: Cursor, format: Format): AsyncGenerator<Entry> {
  const files = await openAll(log);
  try {
    const generations = await Promise.all(files.map(async (file) => (await format.extent(file)).generation));
    const known = cursor.generation === null ? -1 : generations.indexOf(cursor.generation);
    for (const [at, file] of files.entries()) {
      if (at < known) continue;
      if (at !== known) {
        cursor.generation = generations[at] ?? null;
        cursor.offset = 0;
      }
      yield* readOn(file, cursor, format);
    }
  } finally {
    for (const file of files) await file.close();
  }
}

/** To where it goes now. A file that was taken for another meanwhile has no more of what was asked for. */
async function* readOn(file: FileHandle, cursor: Cursor, format: Format): AsyncGenerator<Entry> {
  let size = 256 << 10;
  for (;;) {
    const { generation, end } = await format.extent(file);
    cursor.generation ??= generation;
    const length = Math.min(size, end - cursor.offset);
    if (generation !== cursor.generation || length <= 0) return;
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(length), 0, length, cursor.offset);
    if ((await format.extent(file)).generation !== generation) return;
    const { entries, taken } = format.parse(buffer.subarray(0, bytesRead));
    cursor.offset += taken;
    yield* entries;
    // A record that is not whole: longer than the buffer, or still being written.
    if (taken === 0 && length < size) return;
    if (taken === 0) size *= 2;
  }
}

async function* follow(call: Call, log: ShimLog, cursor: Cursor, format: Format, ended: Promise<unknown>): AsyncGenerator<Entry> {
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
  const watcher: FSWatcher = watch(dirname(log.path), notice);
  ended.then(finish, finish);
  call.signal.addEventListener("abort", finish, { once: true });
  try {
    for (;;) {
      while (changed) {
        changed = false;
        yield* readNew(log, cursor, format);
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
