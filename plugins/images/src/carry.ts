/** Layers that move from one storage driver to another: `storage migrate`. */
import { join } from "node:path";
import {
  type ActiveKey,
  type Call,
  cleanupCall,
  copyChanges,
  type Digest,
  type HeldLayer,
  isTsboxError,
  type Snapshot,
  type SnapshotName,
  type StorageDriver,
  snapshotExists,
  supports,
  withCleanup,
} from "@tsbox/kernel";
import type { ImagesEngine } from "./engine.ts";
import { chainOf } from "./history.ts";
import type { Report } from "./pull.ts";
import type { ImageRecord } from "./records.ts";
import { wholeChain } from "./remove.ts";
import { adopt, adoptedName, beingMade, unpackLayer } from "./unpack.ts";

let count = 0;

/** The layers that a storage driver has, each after its parent. */
export async function held(engine: ImagesEngine, call: Call, storageId: string): Promise<readonly HeldLayer[]> {
  const storage = await engine.storage(storageId);
  const found = new Map<SnapshotName, Snapshot>();
  for await (const snapshot of await storage.list(call))
    if (snapshot.kind === "committed" && /^(sha256:|adopted-)/.test(snapshot.key)) found.set(snapshot.key, snapshot);
  const layers: HeldLayer[] = [];
  for (const [name, { parent }] of inOrder(found)) {
    const bytes = await storage.usage(call, name).then(
      (usage) => usage.bytes,
      (error: unknown) => {
        if (isTsboxError(error) && error.code === "NotFound") return 0;
        throw error;
      },
    );
    layers.push({ name, parent, bytes, source: await sourceOf(engine, call, name), needed: ownerOf(engine, name) !== null });
  }
  return layers;
}

/** Each after its parent. */
function inOrder(found: ReadonlyMap<SnapshotName, Snapshot>): ReadonlyMap<SnapshotName, Snapshot> {
  const ordered = new Map<SnapshotName, Snapshot>();
  for (const name of found.keys()) {
    const chain: [SnapshotName, Snapshot][] = [];
    for (let at: SnapshotName | null = name; at !== null && !ordered.has(at); ) {
      const snapshot = found.get(at);
      if (snapshot === undefined) break;
      chain.push([at, snapshot]);
      at = snapshot.parent;
    }
    for (const [key, snapshot] of chain.reverse()) ordered.set(key, snapshot);
  }
  return ordered;
}

/** An image that needs the layer; null: there is none. */
const ownerOf = (engine: ImagesEngine, name: SnapshotName): ImageRecord | null =>
  engine.records.all().find((image) => wholeChain(image).includes(name)) ?? null;

async function sourceOf(engine: ImagesEngine, call: Call, name: SnapshotName): Promise<HeldLayer["source"]> {
  const image = ownerOf(engine, name);
  if (image === null) return "copy";
  if (image.adopted !== null && name === adoptedName(image.adopted)) return "directory";
  const blob = image.layers[chainOf(image).indexOf(name)]?.digest;
  return blob !== undefined && (await engine.content.stat(call, blob)) !== null ? "blob" : "copy";
}

/**
 * Makes one layer in the driver `to`, where its parent is already: from its blob if that is here, otherwise from the tree in the driver
 * `from`. It is on disk when this answers. A layer that is there already is left as it is.
 */
export async function carry(
  engine: ImagesEngine,
  call: Call,
  name: SnapshotName,
  { from, to }: { readonly from: string; readonly to: string },
  report: Report,
): Promise<void> {
  const release = await engine.leases.hold([name]);
  try {
    const [source, target] = [await engine.storage(from), await engine.storage(to)];
    const line = (status: string, current: number | null, total: number | null): void => report({ id: name, status, current, total });
    if (await snapshotExists(target, call, name)) {
      await onDisk(target, call, name);
      line("Already exists", null, null);
      return;
    }
    const snapshot = await source.stat(call, name);
    const { bytes } = await source.usage(call, name);
    const image = ownerOf(engine, name);
    const how = await sourceOf(engine, call, name);
    if (image !== null && how === "directory" && image.adopted !== null) await adopt(engine, call, to, image.adopted);
    else if (image !== null && how === "blob") {
      const at = chainOf(image).indexOf(name);
      const [layer, diffId] = [image.layers[at], image.diffIds[at]];
      line("Extracting", 0, bytes);
      if (layer && diffId) await unpackLayer(engine, call, to, name, snapshot.parent, diffId as Digest, layer);
    } else {
      line("Copying", 0, bytes);
      await copy(engine, call, snapshot, name, source, target, (current) => line("Copying", Math.min(current, bytes), bytes));
    }
    await onDisk(target, call, name);
    line("Complete", bytes, bytes);
  } finally {
    release();
  }
}

/** A volatile layer of an unpacking is gone after a power cut, and its blob may be gone by then. */
async function onDisk(storage: StorageDriver, call: Call, name: SnapshotName): Promise<void> {
  if (supports(storage, "settle")) await storage.settle(call, name);
}

async function copy(
  engine: ImagesEngine,
  call: Call,
  snapshot: Snapshot,
  name: SnapshotName,
  from: StorageDriver,
  to: StorageDriver,
  progress: (bytes: number) => void,
): Promise<void> {
  count += 1;
  const key = `carry-${process.pid}-${count}` as ActiveKey;
  await withCleanup(async (cleanup) => {
    cleanup.always(beingMade(key));
    await to.prepare(call, key, snapshot.parent);
    let made = false;
    cleanup.always(() => (made ? undefined : to.remove(cleanupCall(call), key)));
    const scratch = join(engine.workDirectory, `${key}.tar`);
    await copyChanges(call, snapshot, key, { host: engine.host, from, to, scratch, progress });
    try {
      await to.commit(call, name, key);
      made = true;
    } catch (error) {
      if (!isTsboxError(error) || error.code !== "AlreadyExists") throw error;
    }
  });
}

/** Removes from the driver `from` the layers that the driver `to` has as well, unless something stands on them. Answers their bytes. */
export async function release(
  engine: ImagesEngine,
  call: Call,
  { from, to }: { readonly from: string; readonly to: string },
): Promise<{ readonly count: number; readonly bytes: number }> {
  const [source, target] = [await engine.storage(from), await engine.storage(to)];
  let [removed, bytes] = [0, 0];
  for (const layer of [...(await held(engine, call, from))].reverse()) {
    if (!(await snapshotExists(target, call, layer.name))) continue;
    try {
      if (!(await engine.leases.drop(layer.name, () => source.remove(call, layer.name)))) continue;
    } catch (error) {
      if (isTsboxError(error) && (error.code === "FailedPrecondition" || error.code === "NotFound")) continue;
      throw error;
    }
    engine.sizes.delete(`${from} ${layer.name}`);
    removed += 1;
    bytes += layer.bytes;
  }
  return { count: removed, bytes };
}
