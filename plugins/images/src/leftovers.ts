/** What pulls, builds and deaths of daemons left: parts of downloads, blobs that no image has, snapshots that nobody goes on with. */
import { type Call, type Digest, isTsboxError, type StorageDriver } from "@tsbox/kernel";
import type { ImagesEngine } from "./engine.ts";
import { blobsOf } from "./records.ts";
import { isBeingMade } from "./unpack.ts";

export interface Leftovers {
  readonly count: number;
  readonly bytes: number;
}

/**
 * Of layers that are unpacked or made: `create-PID-N`, `unpack-PID-N`. Of looks at whole trees, by this plugin and `files`:
 * `materialize-PID-…`, `files-PID-…`.
 */
const halfMade = /^(?:(?:create|unpack)-\d+-\d+(?:-below)?|materialize-\d+-\d+|files-(\d+)-[\d-]+)$/;

/** Is this nobody's any more? What this daemon looks at for `files` goes by itself. */
function isAbandoned(key: string): boolean {
  const match = halfMade.exec(key);
  return match !== null && !isBeingMade(key) && match[1] !== String(process.pid);
}

export async function leftovers(engine: ImagesEngine, call: Call, drop: boolean): Promise<Leftovers> {
  const parts = await engine.content.unfinished(call, { drop });
  const all = [parts, await halfMadeSnapshots(engine, call, drop), await ownerlessBlobs(engine, call, drop)];
  return { count: all.reduce((sum, { count }) => sum + count, 0), bytes: all.reduce((sum, { bytes }) => sum + bytes, 0) };
}

/** Of this daemon or an earlier one. */
export async function halfMadeSnapshots(engine: ImagesEngine, call: Call, drop: boolean): Promise<Leftovers> {
  let [count, bytes] = [0, 0];
  for (const { storage } of await engine.storages())
    for await (const { key, kind } of await storage.list(call)) {
      if (kind === "committed" || !isAbandoned(key)) continue;
      const size = kind === "view" ? 0 : await sizeOf(storage, call, key);
      if (size === null) continue;
      count += 1;
      bytes += size;
      if (drop) await storage.remove(call, key).catch(unlessGone);
    }
  return { count, bytes };
}

async function ownerlessBlobs(engine: ImagesEngine, call: Call, drop: boolean): Promise<Leftovers> {
  const { records, content, leases } = engine;
  let [count, bytes] = [0, 0];
  for await (const { digest, size } of await content.list(call)) {
    // Asked for each anew: an image may get its name while this goes on.
    if (leases.has(digest) || isNeeded(records.all(), digest) || records.names().some((name) => records.tag(name)?.digest === digest))
      continue;
    count += 1;
    bytes += size;
    if (drop) await leases.drop(digest, () => content.remove(call, digest));
  }
  return { count, bytes };
}

/** Each image is asked: a list of all their blobs would be old after the first removal. */
export function isNeeded(images: ReturnType<ImagesEngine["records"]["all"]>, digest: Digest): boolean {
  return images.some((image) => blobsOf(image).includes(digest));
}

async function sizeOf(storage: StorageDriver, call: Call, key: Parameters<StorageDriver["usage"]>[1]): Promise<number | null> {
  try {
    return (await storage.usage(call, key)).bytes;
  } catch (error) {
    unlessGone(error);
    return null;
  }
}

function unlessGone(error: unknown): void {
  if (!isTsboxError(error) || (error.code !== "NotFound" && error.code !== "FailedPrecondition")) throw error;
}
