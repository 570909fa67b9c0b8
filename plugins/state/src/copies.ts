/**
 * Copies of the database, made at clean starts; `records.lmdb.1` is the newest of three. Each is a whole database that can replace the
 * engine's.
 */
import { chmodSync, existsSync, renameSync, rmSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname } from "node:path";

const count = 3;
const place = (path: string, number: number): string => `${path}.${number}`;

/** `write` makes a copy at the given path. */
export async function keepCopy(path: string, write: (to: string) => Promise<void>): Promise<void> {
  const fresh = `${path}.new`;
  rmSync(fresh, { force: true });
  try {
    await write(fresh);
    chmodSync(fresh, 0o600);
    await sync(fresh);
  } catch (error) {
    rmSync(fresh, { force: true });
    throw error;
  }
  for (let number = count; number > 1; number -= 1)
    if (existsSync(place(path, number - 1))) renameSync(place(path, number - 1), place(path, number));
  renameSync(fresh, place(path, 1));
  await sync(dirname(path));
}

/** Says what to do about records that can't be used. */
export function wayBack(path: string): string {
  const found = Array.from({ length: count }, (_, at) => place(path, at + 1)).filter((copy) => existsSync(copy));
  const [newest, ...older] = found;
  if (newest === undefined) return `put back ${path} from a backup; nothing was changed`;
  const made = statSync(newest).mtime.toISOString();
  const more = older.length === 0 ? "" : ` (older ones: ${older.join(", ")})`;
  return `nothing was changed; go back to the copy of ${made} with \`cp ${newest} ${path}\`${more} and start the engine again`;
}

async function sync(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
