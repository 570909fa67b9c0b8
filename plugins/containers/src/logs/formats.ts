/** What a log format provides: reading forwards and backwards. */
import type { FileHandle } from "node:fs/promises";

/** Output that was written at one time: any number of lines. The last one may continue in a later entry of its stream. */
export interface Entry {
  readonly stream: "stdout" | "stderr";
  readonly nanoseconds: bigint;
  readonly bytes: Buffer;
}

/** How far a file may be read, and its identity: a changed generation means another file under the same inode. */
export interface Extent {
  /** Null: nothing has been written to it yet. */
  readonly generation: bigint | null;
  readonly end: number;
}

export interface Format {
  extent(file: FileHandle): Promise<Extent>;
  /** The whole entries at the beginning of `buffer`, and the number of bytes that they take. May overwrite `buffer`. */
  parse(buffer: Buffer): { readonly entries: readonly Entry[]; readonly taken: number };
  /**
   * Whole entries from the end of `buffer` backwards, each with its offset in it. Ends where an entry begins before the buffer. `first`:
   * the buffer starts at the beginning of the file.
   */
  backwards(buffer: Buffer, first: boolean): Iterable<{ readonly at: number; readonly stream: Entry["stream"]; readonly bytes: Buffer }>;
}

/** Identifies the file by its inode, if its content has no generation. */
export async function plainExtent(file: FileHandle): Promise<Extent> {
  const { ino, size } = await file.stat();
  return { generation: size === 0 ? null : BigInt(ino), end: size };
}
