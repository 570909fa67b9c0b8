/** Where the last lines of a log begin, found from its end: however long it is, no more is read than they take. */
import type { FileHandle } from "node:fs/promises";
import { setImmediate as moment } from "node:timers/promises";
import type { Entry, Format } from "./formats.ts";
import { countLines } from "./lines.ts";

export interface Beginning {
  /** Which of the files. */
  readonly file: number;
  readonly offset: number;
  /** Whole lines from there on that are not wanted. */
  readonly skip: number;
}

const newline = 10;
const block = 64 << 10;
/** How many bytes further back the beginning of a line is looked for whose end is among the last. */
const patience = 1 << 20;

/** `files`: the oldest first. */
export async function findTail(files: readonly FileHandle[], format: Format, wanted: number): Promise<Beginning> {
  let lines = 0;
  let beyond = 0;
  let found: Beginning = { file: 0, offset: 0, skip: 0 };
  /** Of each stream that was met: whether the first line that was taken may have begun further back. */
  const open = new Map<Entry["stream"], boolean>();
  for (let file = files.length - 1; file >= 0; file -= 1) {
    for await (const { at, stream, bytes } of entriesBackwards(files[file] as FileHandle, format, file === files.length - 1)) {
      const whole = bytes.at(-1) === newline;
      if (lines >= wanted) {
        if (whole || !open.has(stream)) open.set(stream, false);
        beyond += bytes.length;
        if (beyond > patience || ![...open.values()].includes(true)) return found;
      } else {
        // What the log ends with is a line even without a newline.
        if (!open.has(stream) && !whole) lines += 1;
        open.set(stream, true);
      }
      lines += countLines(bytes);
      found = { file, offset: at, skip: Math.max(0, lines - wanted) };
    }
  }
  return { file: 0, offset: 0, skip: Math.max(0, lines - wanted) };
}

/** `growing`: the end of the file may be an entry that is being written. */
async function* entriesBackwards(
  handle: FileHandle,
  format: Format,
  growing: boolean,
): AsyncGenerator<{ readonly at: number; readonly stream: Entry["stream"]; readonly bytes: Buffer }> {
  let { end } = await format.extent(handle);
  let size = block;
  for (let tries = growing ? 100 : 0; end > 0; ) {
    const from = Math.max(0, end - size);
    const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(end - from), 0, end - from, from);
    let begun: number | null = null;
    for (const entry of format.backwards(buffer.subarray(0, bytesRead), from === 0)) {
      begun = from + entry.at;
      yield { at: begun, stream: entry.stream, bytes: entry.bytes };
    }
    if (begun !== null) {
      [end, tries] = [begun, 0];
      continue;
    }
    // Nothing whole in it: an entry longer than the block, or one that is not there as a whole yet; or the beginning.
    if (from > 0) size *= 2;
    else if (tries === 0) return;
    else {
      tries -= 1;
      size = block;
      await moment();
      end = (await format.extent(handle)).end;
    }
  }
}
