/** Leftovers of interrupted pulls and builds and of killed daemons: parts of downloads, blobs without an image, unfinished snapshots. */
import { type Call, type Digest, isTsboxError, type StorageDriver } from "@tsbox/kernel";
import type { ImagesEngine } from "./engine.ts";
import { blobsOf } from "./records.ts";
import { isBeingMade } from "./unpack.ts";

export interface Leftovers {
  readonly count: number;
  readonly bytes: number;
}

/**
 * Snapshots of layers that are unpacked, made or carried: `create-PID-N`, `unpack-PID-N`, `carry-PID-N`. Views of whole trees, by this
 * plugin, `files` and the kernel's `copyChanges`: `materialize-PID-…`, `files-PID-…`, `copy-PID-…`.
 */
const halfMade = /^(?:(?:create|unpack|carry)-\d+-\d+(?:-below)?|materialize-\d+-\d+|(?:files|copy)-(\d+)-[\d-]+)$/;

/** Whether no running work uses the snapshot. The views of `files` and `copyChanges` in this daemon are removed by them. */
function isAbandoned(key: string): boolean {
  const match = halfMade.exec(key);
  return match !== null && !isBeingMade(key) && match[1] !== String(process.pid);
}

export async function leftovers(engine: ImagesEngine, call: Call, drop: boolean): Promise<Leftovers> {
  const parts = await engine.content.unfinished(call, { drop });
  const all = [parts, await halfMadeSnapshots(engine, call, drop), await ownerlessBlobs(engine, call, drop)];
  return { count: all.reduce((sum, { count }) => sum + count, 0), bytes: all.reduce((sum, { bytes }) => sum + bytes, 0) };
}

/** Snapshots that this daemon or an earlier one left unfinished. */
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
    // Checked again for each blob: an image may get its name meanwhile.
    if (leases.has(digest) || isNeeded(records.all(), digest) || records.names().some((name) => records.tag(name)?.digest === digest))
      continue;
    count += 1;
    bytes += size;
    if (drop) await leases.drop(digest, () => content.remove(call, digest));
  }
  return { count, bytes };
}

/** Checks every image: a set of all their blobs would be outdated after the first removal. */
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
