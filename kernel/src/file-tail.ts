/** The end of a file that somebody else writes, such as another runtime's log. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** Returns the last `most` bytes of the file at `path` as text; all of it if it is shorter. Throws if it can't be read. */
export function fileTail(path: string, most: number): string {
  const fd = openSync(path, "r");
  try {
    const { size } = fstatSync(fd);
    const bytes = Buffer.alloc(Math.min(size, most));
    return bytes.toString("utf8", 0, readSync(fd, bytes, 0, bytes.length, Math.max(0, size - most)));
  } finally {
    closeSync(fd);
  }
}
