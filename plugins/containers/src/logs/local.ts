/** The log format that Docker calls local, as native/shim/src/log.rs describes it. */
import { type Entry, type Format, plainExtent } from "./formats.ts";

const head = 16;
const foot = 4;
const stderr = 2;
/** The stream of the first record. That record says where the others end, and its time is the file's generation. */
const beginning = 3;
const beginningLength = head + 8 + foot;

/** One record per read of the container's output, with its length before and after it. */
export const local: Format = {
  async extent(file) {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(beginningLength), 0, beginningLength, 0);
    if (bytesRead < beginningLength || buffer[4] !== beginning) return plainExtent(file);
    return { generation: buffer.readBigUInt64LE(8), end: Number(buffer.readBigUInt64LE(head)) };
  },

  parse(buffer) {
    const { entries, taken } = placedEntries(buffer);
    return { entries, taken };
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

/** As `parse`, with the offset of each entry in the buffer. */
export function placedEntries(buffer: Buffer): { readonly entries: readonly (Entry & { readonly at: number })[]; readonly taken: number } {
  const entries: (Entry & { readonly at: number })[] = [];
  let at = 0;
  while (at + head <= buffer.length) {
    const end = at + head + buffer.readUInt32LE(at);
    if (end + foot > buffer.length) break;
    if (buffer[at + 4] !== beginning)
      entries.push({
        at,
        stream: buffer[at + 4] === stderr ? "stderr" : "stdout",
        nanoseconds: buffer.readBigUInt64LE(at + 8),
        bytes: buffer.subarray(at + head, end),
      });
    at = end + foot;
  }
  return { entries, taken: at };
}
