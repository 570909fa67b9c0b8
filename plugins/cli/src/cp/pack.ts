/** Packs the user's own files as a tar, in the user's own process. */
import { once } from "node:events";
import { createReadStream, lstatSync, readdirSync, readlinkSync, type Stats } from "node:fs";
import { posix } from "node:path";
import { type Header, type Pack, pack } from "tar-stream";
import { splitPath } from "./paths.ts";

/** `pax`: records for values that the plain header can't hold. */
type Head = Partial<Header> & { readonly name: string; readonly pax?: Readonly<Record<string, string>> };

/** Packs `path` and everything below it; the first member is called `name`. */
export async function* packFiles(path: string, name: string): AsyncGenerator<Uint8Array> {
  const tar = pack();
  const links = new Map<string, string>();
  const writing = walk(tar, path, name, links).then(
    () => tar.finalize(),
    (error: unknown) => tar.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  try {
    yield* tar as AsyncIterable<Uint8Array>;
  } finally {
    tar.destroy();
    await writing;
  }
}

/** The name of a path's first member. */
export const firstName = (path: string): string => splitPath(path).name;

async function walk(tar: Pack, path: string, name: string, links: Map<string, string>): Promise<void> {
  const stat = lstatSync(path);
  // A socket is useless without the process that listens on it.
  if (stat.isSocket()) return;
  await one(tar, path, name, stat, links);
  if (!stat.isDirectory()) return;
  const names = readdirSync(path).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  for (const each of names)
    await walk(tar, posix.join(path, each), name === "/" ? `/${each}` : `${name.replace(/\/$/, "")}/${each}`, links);
}

async function one(tar: Pack, path: string, name: string, stat: Stats, links: Map<string, string>): Promise<void> {
  const inode = `${stat.dev}:${stat.ino}`;
  const first = stat.isDirectory() || stat.nlink < 2 ? undefined : links.get(inode);
  if (first === undefined) links.set(inode, name);
  const head: Head = { name, mode: stat.mode & 0o7777, ...owned(stat) };
  if (first !== undefined) return plain(tar, { ...head, type: "link", linkname: first });
  if (stat.isDirectory()) return plain(tar, { ...head, name: name.endsWith("/") ? name : `${name}/`, type: "directory" });
  if (stat.isSymbolicLink()) return plain(tar, { ...head, type: "symlink", linkname: readlinkSync(path) });
  if (stat.isFIFO()) return plain(tar, { ...head, type: "fifo" });
  if (stat.isCharacterDevice() || stat.isBlockDevice())
    return plain(tar, { ...head, type: stat.isBlockDevice() ? "block-device" : "character-device", ...device(stat.rdev) });
  const entry = tar.entry({ ...head, type: "file", size: stat.size });
  // Reads no more than the announced size: the file may grow meanwhile.
  if (stat.size > 0)
    for await (const part of createReadStream(path, { end: stat.size - 1, highWaterMark: 256 << 10 }) as AsyncIterable<Uint8Array>)
      if (!entry.write(part)) await once(entry, "drain");
  const finished = once(entry, "finish");
  entry.end(null);
  await finished;
}

function plain(tar: Pack, head: Head): Promise<void> {
  return new Promise((resolve, reject) => {
    tar.entry({ ...head, size: 0 }, (error) => (error ? reject(error) : resolve()));
  });
}

/** Owner and time, in PAX records if the header has no room for them. */
function owned({ uid, gid, mtimeMs }: Stats): Pick<Head, "uid" | "gid" | "mtime" | "pax"> {
  const most = 0o777777;
  return {
    uid: Math.min(uid, most),
    gid: Math.min(gid, most),
    mtime: new Date(mtimeMs),
    pax: {
      ...(uid > most ? { uid: String(uid) } : {}),
      ...(gid > most ? { gid: String(gid) } : {}),
      mtime: (mtimeMs / 1000).toFixed(6),
    },
  };
}

/** Splits a device number: the inverse of Linux's makedev(3). */
function device(number: number): { readonly devmajor: number; readonly devminor: number } {
  const whole = BigInt(number);
  return {
    devmajor: Number(((whole >> 8n) & 0xfffn) | ((whole >> 32n) & ~0xfffn)),
    devminor: Number((whole & 0xffn) | ((whole >> 12n) & ~0xffn)),
  };
}
