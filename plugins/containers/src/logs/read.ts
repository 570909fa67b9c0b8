/** Reads a container's log while its shim writes it: from the beginning, or the last lines. */
import { type FSWatcher, watch } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type Call, fail, type LogOptions, type LogPart, type ShimLog, type Sparse } from "@tsbox/kernel";
import type { Entry, Extent, Format } from "./formats.ts";
import { jsonFile } from "./json-file.ts";
import { countLines, Lines, skipLines } from "./lines.ts";
import { local } from "./local.ts";
import { findTail } from "./tail.ts";

/** Those that can be read, by the log driver that writes them. */
const formats: ReadonlyMap<string, Format> = new Map([
  ["json-file", jsonFile],
  ["local", local],
]);

/** `Unsupported`: what this log's driver writes can't be read. */
export function formatOf({ driver }: ShimLog): Format {
  const format = formats.get(driver);
  if (format === undefined) throw fail("Unsupported", "configured logging driver does not support reading");
  return format;
}

/**
 * `ended`: resolves when the container writes no more. As in Docker, the last lines are counted before lines are filtered by stream or
 * time.
 */
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
  const format = formatOf(log);
  const lines = new Lines();
  const cursor: Cursor = { signal: call.signal, file: null, generation: null, offset: 0 };
  // Everything up to a time in the past has already been written.
  const follows = options.follow === true && ended !== null && (to === null || to > BigInt(Date.now()) * 1_000_000n);
  try {
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
    // Lines that the container left without a newline.
    if (tail !== 0 || follows) for (const part of lines.rest()) if (wanted(part)) yield part;
  } finally {
    await cursor.file?.close();
  }
}

/** Resolves at this time (milliseconds since the epoch), or when the call ends. */
function moment(call: Call, at: number): Promise<void> {
  return pause(at - Date.now(), undefined, { signal: call.signal, ref: false }).catch(() => {});
}

/** The reading position: file and offset. The file stays open, so that no other file can get its inode number. */
interface Cursor {
  /** The caller's signal: reading stops when it aborts. */
  readonly signal: AbortSignal;
  file: FileHandle | null;
  generation: bigint | null;
  offset: number;
}

/** A file of the log, and its extent when it was opened. */
export interface Opened extends Extent {
  readonly file: FileHandle;
}

/**
 * The rotated files, oldest first, then the current one, each up to its size at the time of the request: a container that keeps writing is
 * not followed. `tail`: only the last lines; null: all.
 */
async function* history(log: ShimLog, cursor: Cursor, format: Format, lines: Lines, tail: number | null): AsyncGenerator<LogPart> {
  const files = await openAll(log, format);
  try {
    const begin = tail === null ? { file: 0, offset: 0, skip: 0 } : await findTail(files, format, tail);
    let { skip } = begin;
    for (const [at, { file, generation, end }] of files.entries()) {
      if (at < begin.file) continue;
      const own: Cursor = at === files.length - 1 ? cursor : { signal: cursor.signal, file, generation: null, offset: 0 };
      own.generation = generation;
      own.offset = at === begin.file ? begin.offset : 0;
      if (own === cursor) {
        files.pop();
        cursor.file = file;
      }
      for await (const entry of readOn(file, own, format, end))
        for (const part of lines.push(entry)) {
          const left = skip === 0 ? part.lines : skipLines(part.lines, skip);
          if (skip > 0) skip = Math.max(0, skip - countLines(part.lines));
          if (left !== null) yield { ...part, lines: left };
        }
    }
  } finally {
    for (const { file } of files) await file.close();
  }
}

/** How often all files are opened again because the log was rotated meanwhile. */
const mostTries = 20;

/**
 * Opens all files of the log, oldest first; the last one is the current one. They are consistent, unless the log is rotated again and
 * again.
 */
export async function openAll(log: ShimLog, format: Format): Promise<Opened[]> {
  for (let tries = 1; ; tries += 1) {
    const files: Opened[] = [];
    // Newest first: a file that is rotated meanwhile is seen twice, and not missed.
    for (let at = 0; at < log.maxFiles; at += 1) {
      const file = await open(at === 0 ? log.path : `${log.path}.${at}`, "r").catch(() => null);
      // The file was never written, or has been rotated away.
      if (file === null) continue;
      const extent = await format.extent(file);
      if (files.some(({ generation }) => generation !== null && generation === extent.generation)) await file.close();
      else files.unshift({ file, ...extent });
    }
    if (tries === mostTries || (await isPresent(log, format, files.at(-1)))) return files;
    for (const { file } of files) await file.close();
  }
}

/** Whether the file that was opened as the current one still is. */
async function isPresent(log: ShimLog, format: Format, opened: Opened | undefined): Promise<boolean> {
  const file = await open(log.path, "r").catch(() => null);
  if (file === null) return opened === undefined;
  try {
    const { generation } = await format.extent(file);
    return opened !== undefined && (generation === opened.generation || opened.generation === null);
  } finally {
    await file.close();
  }
}

/** Skips to the current end of the log. A line that has begun will still be returned as a whole. */
async function skipAll(log: ShimLog, cursor: Cursor, format: Format, lines: Lines): Promise<void> {
  for await (const _ of history(log, cursor, format, lines, 1)) {
    // Skipped.
  }
}

/** What was written since the cursor: first in its file, even if that was rotated, then in the later files. */
async function* readNew(log: ShimLog, cursor: Cursor, format: Format): AsyncGenerator<Entry> {
  // Opened first: once there is a later file, the cursor's file is complete.
  const files = await openAll(log, format);
  try {
    if (cursor.file !== null) yield* readOn(cursor.file, cursor, format, null);
    const known = await indexOf(files, format, cursor.generation);
    while (files.length > known + 1 && files.length > 0) {
      const next = files[known + 1] as Opened;
      files.splice(known + 1, 1);
      await cursor.file?.close();
      Object.assign(cursor, { file: next.file, generation: next.generation, offset: 0 });
      yield* readOn(next.file, cursor, format, null);
    }
  } finally {
    for (const { file } of files) await file.close();
  }
}

/**
 * The index of the file with this generation; -1: there is no such file. A file that was empty when it was opened may have its generation
 * by now.
 */
async function indexOf(files: readonly Opened[], format: Format, generation: bigint | null): Promise<number> {
  for (const [at, { file, generation: known }] of files.entries())
    if (generation !== null && generation === (known ?? (await format.extent(file)).generation)) return at;
  return -1;
}

/** In bytes. No record is as long: a file that seems to have one is damaged. */
export const longestRecord: number = 4 << 20;

/**
 * Reads to the current end of the file, or to `until`. Once the generation changes, the file is reused for other data, and reading ends.
 */
async function* readOn(file: FileHandle, cursor: Cursor, format: Format, until: number | null): AsyncGenerator<Entry> {
  let size = 256 << 10;
  for (;;) {
    const { generation, end } = await format.extent(file);
    cursor.generation ??= generation;
    const length = Math.min(size, (until ?? end) - cursor.offset);
    if (generation !== cursor.generation || length <= 0 || cursor.signal.aborted) return;
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(length), 0, length, cursor.offset);
    if ((await format.extent(file)).generation !== generation) return;
    const { entries, taken } = format.parse(buffer.subarray(0, bytesRead));
    cursor.offset += taken;
    yield* entries;
    // No whole record: it is longer than the buffer, or still being written.
    if (taken === 0 && (length < size || size > longestRecord)) return;
    if (taken === 0) size *= 2;
  }
}

/** Whether the file of this name in the log's directory is the log, or one of its rotated files. */
export const isOfLog = ({ path }: Pick<ShimLog, "path">, name: string): boolean => name.startsWith(basename(path));

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
  // Other files of the container are beside the log.
  const watcher: FSWatcher = watch(dirname(log.path), (_, name) => {
    if (name === null || isOfLog(log, name)) notice();
  });
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
