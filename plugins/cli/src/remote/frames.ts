/** Docker's frames: `[1 stdout | 2 stderr | 3 error of the engine, 0, 0, 0, length u32 big-endian] bytes`; chunks may end anywhere. */
import { fail } from "@tsbox/kernel";

export interface Output {
  readonly stream: "stdout" | "stderr";
  readonly bytes: Uint8Array;
}

const headerLength = 8;
const systemError = 3;

export async function* demultiplex(parts: AsyncIterable<Uint8Array>): AsyncGenerator<Output> {
  let header = Buffer.alloc(0);
  let left = 0;
  let kind = 0;
  for await (const part of parts) {
    for (let at = 0; at < part.length; ) {
      if (left === 0) {
        const taken = part.subarray(at, at + headerLength - header.length);
        header = Buffer.concat([header, taken]);
        at += taken.length;
        if (header.length < headerLength) break;
        [kind, left] = [header[0] ?? 0, header.readUInt32BE(4)];
        header = Buffer.alloc(0);
        continue;
      }
      const bytes = part.subarray(at, at + left);
      at += bytes.length;
      left -= bytes.length;
      if (kind === systemError) throw fail("Unavailable", `the engine says: ${Buffer.from(bytes).toString().trim()}`);
      yield { stream: kind === 2 ? "stderr" : "stdout", bytes };
    }
  }
}
