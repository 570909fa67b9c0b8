/** What a format of a log's file tells, forwards and backwards. */
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
  /** The whole entries at the beginning of `buffer`, which may be written over, and how many of its bytes they take. */
  parse(buffer: Buffer): { readonly entries: readonly Entry[]; readonly taken: number };
  /**
   * Whole entries from the end of `buffer` backwards, each with its offset in it. Ends where a beginning is not in sight. `first`: the
   * buffer begins where the file does.
   */
  backwards(buffer: Buffer, first: boolean): Iterable<{ readonly at: number; readonly stream: Entry["stream"]; readonly bytes: Buffer }>;
}

/** By its inode, where nothing in it says more. */
export async function plainExtent(file: FileHandle): Promise<Extent> {
  const { ino, size } = await file.stat();
  return { generation: size === 0 ? null : BigInt(ino), end: size };
}
