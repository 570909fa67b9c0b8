/** Finds where the last lines of a log begin, reading backwards from its end: no more is read than those lines take. */
import type { FileHandle } from "node:fs/promises";
import type { Entry, Format } from "./formats.ts";
import { countLines } from "./lines.ts";

export interface Beginning {
  /** Index of the file. */
  readonly file: number;
  readonly offset: number;
  /** How many whole lines from there on are not wanted. */
  readonly skip: number;
}

const newline = 10;
const block = 64 << 10;
/** How many bytes further back the beginning of a line is searched whose end is among the last lines. */
const longestSearch = 1 << 20;

/** `files`: oldest first, each to be read up to its `end`. */
export async function findTail(
  files: readonly { readonly file: FileHandle; readonly end: number }[],
  format: Format,
  wanted: number,
): Promise<Beginning> {
  let lines = 0;
  let beyond = 0;
  let found: Beginning = { file: 0, offset: 0, skip: 0 };
  /** By stream: whether the first line found may begin further back. */
  const open = new Map<Entry["stream"], boolean>();
  for (const [file, opened] of [...files.entries()].reverse()) {
    for await (const { at, stream, bytes } of entriesBackwards(opened.file, format, opened.end)) {
      const whole = bytes.at(-1) === newline;
      if (lines >= wanted) {
        if (whole || !open.has(stream)) open.set(stream, false);
        beyond += bytes.length;
        if (beyond > longestSearch || ![...open.values()].includes(true)) return found;
      } else {
        // The last line of the log counts even without a newline.
        if (!open.has(stream) && !whole) lines += 1;
        open.set(stream, true);
      }
      lines += countLines(bytes);
      found = { file, offset: at, skip: Math.max(0, lines - wanted) };
    }
  }
  return { file: 0, offset: 0, skip: Math.max(0, lines - wanted) };
}

/** Bytes after the last whole entry belong to an entry that was still being written. */
async function* entriesBackwards(
  handle: FileHandle,
  format: Format,
  last: number,
): AsyncGenerator<{ readonly at: number; readonly stream: Entry["stream"]; readonly bytes: Buffer }> {
  let end = last;
  let size = block;
  while (end > 0) {
    const from = Math.max(0, end - size);
    const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(end - from), 0, end - from, from);
    let begun: number | null = null;
    for (const entry of format.backwards(buffer.subarray(0, bytesRead), from === 0)) {
      begun = from + entry.at;
      yield { at: begun, stream: entry.stream, bytes: entry.bytes };
    }
    if (begun !== null) end = begun;
    // No whole entry: it is longer than the block, or this is the beginning of the file.
    else if (from > 0 && size < longestEntry) size *= 2;
    else return;
  }
}

/** In bytes. No entry is as long: a file that seems to have one is damaged. */
const longestEntry = 8 << 20;
