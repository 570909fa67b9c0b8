/**
 * Unpacks layers to snapshots, once per storage driver, named by chain id (OCI image spec): images with the same lower layers share them.
 * A layer is applied on its parent, since a directory that the layer lacks is the parent's.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { PassThrough } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as pause } from "node:timers/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import {
  type ActiveKey,
  asError,
  type Call,
  type ContentService,
  cleanupCall,
  type Descriptor,
  type Digest,
  deriveCall,
  fail,
  type HostToolkit,
  isTsboxError,
  type Layer,
  type LayerFile,
  parseActiveKey,
  type SnapshotName,
  type StorageDriver,
  snapshotExists,
  supports,
  type ViewKey,
  withCleanup,
  withMounts,
} from "@tsbox/kernel";
import type { ImageRecord } from "./records.ts";

export interface Unpacker {
  readonly content: ContentService;
  readonly host: HostToolkit;
  storage(id: string): Promise<StorageDriver>;
}

/** Unpacking that is running: two pulls of one image unpack each layer once. */
interface Unpacking {
  readonly work: Promise<void>;
  /** Its layer is here as a whole. */
  isWhole: boolean;
}
const underWay = new Map<string, Unpacking>();
/** Milliseconds within which one layer is whole for all who wait for it. */
const sameTime = 1_000;
let attempts = 0;
/** Keys of snapshots that this daemon is making; all others of their form are abandoned. */
const making = new Set<string>();
export const isBeingMade = (key: string): boolean => making.has(key.replace(/-below$/, ""));

/** Marks the key as being made until the answered function is called. */
export function beingMade(key: ActiveKey | ViewKey): () => void {
  making.add(key);
  return () => making.delete(key);
}

/** The chain id of each layer, the lowest first. `base`: the snapshot of an adopted directory. */
export function chainIds(diffIds: readonly Digest[], base: SnapshotName | null): readonly SnapshotName[] {
  const chain: SnapshotName[] = [];
  let parent: string | null = base;
  for (const diffId of diffIds) {
    parent = parent === null ? diffId : `sha256:${createHash("sha256").update(`${parent} ${diffId}`).digest("hex")}`;
    chain.push(parent as SnapshotName);
  }
  return chain;
}

/** The name of an adopted directory: its path's digest, safe as a file name. */
export const adoptedName = (directory: string): SnapshotName =>
  `adopted-${createHash("sha256").update(directory).digest("hex")}` as SnapshotName;

/** Unpacks one layer unless it exists. `whole`: resolves when the layer's blob, which may still be downloading, is verified. */
export async function unpackLayer(
  unpacker: Unpacker,
  call: Call,
  storageId: string,
  name: SnapshotName,
  parent: SnapshotName | null,
  diffId: Digest,
  layer: Descriptor,
  whole: Promise<void> = Promise.resolve(),
): Promise<void> {
  await once(`${storageId} ${name}`, whole, async () => {
    const storage = await unpacker.storage(storageId);
    if (await snapshotExists(storage, call, name)) return;
    const place: Place = { unpacker, storage, name, parent, diffId, layer };
    if (await unpackAhead(place, call, whole)) return;
    await whole;
    await unpackFile(place, call, { path: await unpacker.content.path(call, layer.digest), mediaType: layer.mediaType });
  });
}

interface Place {
  readonly unpacker: Unpacker;
  readonly storage: StorageDriver;
  readonly name: SnapshotName;
  readonly parent: SnapshotName | null;
  readonly diffId: Digest;
  readonly layer: Descriptor;
}

/**
 * Unpacks a layer while it is being downloaded; the snapshot is committed when the whole layer has been verified. False: there is no
 * download, or this failed; the layer is then unpacked from the complete file, which gives the best error message.
 */
async function unpackAhead(place: Place, call: Call, whole: Promise<void>): Promise<boolean> {
  const { content } = place.unpacker;
  const following = canFollow(place.storage) ? await content.follow(call, place.layer.digest) : null;
  if (following === null) return false;
  const gone = new AbortController();
  whole.then(
    async () => {
      // The blob came another way, while the download that is followed here goes on.
      const { size } = await stat(following.path).catch(() => ({ size: following.size }));
      if (size < following.size) gone.abort(fail("Canceled", "the layer came another way"));
    },
    (reason: unknown) => gone.abort(reason),
  );
  try {
    const file = { path: following.path, mediaType: place.layer.mediaType, growingTo: following.size };
    await unpackFile(place, deriveCall(call, { signal: gone.signal }), file, whole);
    return true;
  } catch (error) {
    call.signal.throwIfAborted();
    call.log.debug(`${place.layer.digest} could not be unpacked while it came: ${String(error)}`);
    return false;
  } finally {
    await content.unfollow(cleanupCall(call), following.path);
  }
}

/** For a driver without `apply` of its own, the host's `apply` is used, which can follow. */
const canFollow = (storage: StorageDriver): boolean => !supports(storage, "apply") || storage.powers.includes("follow");

async function unpackFile(place: Place, call: Call, file: LayerFile, whole: Promise<void> = Promise.resolve()): Promise<void> {
  const { unpacker, storage, name, parent, diffId, layer } = place;
  attempts += 1;
  const key = parseActiveKey(`unpack-${process.pid}-${attempts}`);
  await withCleanup(async (cleanup) => {
    cleanup.always(beingMade(key));
    // A power cut may take the snapshot: the layer is then unpacked again from its blob, which is on disk.
    await storage.prepare(call, key, parent, { volatile: true });
    cleanup.undo(() => storage.remove(cleanupCall(call), key));
    const applied = await applyLayer(unpacker, storage, call, key, file).catch((error: unknown) => {
      if (!isTsboxError(error) || error.code === "Canceled") throw error;
      throw fail(error.code, `layer ${layer.digest}: ${error.message}`, { cause: error });
    });
    if (applied.diffId !== diffId) throw otherDiffId(layer, applied.diffId, diffId);
    await whole;
    await commit(storage, call, name, key);
  });
}

const otherDiffId = (layer: Descriptor, found: string, diffId: Digest): Error =>
  fail("DataLoss", `layer ${layer.digest} unpacks to ${found}, but its image says ${diffId}: the image is damaged where it comes from`);

/** Compares a layer with its diff id, without unpacking it. `DataLoss`: it is another layer. */
export async function compareDiffId(call: Call, path: string, layer: Descriptor, diffId: Digest): Promise<void> {
  if (layer.digest === diffId) return;
  const magic = Buffer.alloc(4);
  const file = await open(path);
  try {
    await file.read(magic, 0, 4, 0);
  } finally {
    await file.close();
  }
  const hash = createHash("sha256");
  const isGzip = magic.readUInt16BE(0) === 0x1f8b;
  const decompress = isGzip ? createGunzip() : magic.readUInt32BE(0) === 0x28b52ffd ? createZstdDecompress() : new PassThrough();
  await pipeline(createReadStream(path), decompress, hash, { signal: call.signal }).catch((error: unknown) => {
    call.signal.throwIfAborted();
    throw fail(
      "DataLoss",
      `layer ${layer.digest} can't be decompressed (${asError(error).message}): the image is damaged where it comes from`,
    );
  });
  const found = `sha256:${hash.digest("hex")}`;
  if (found !== diffId) throw otherDiffId(layer, found, diffId);
}

/** The snapshot of a directory that the engine does not own. */
export async function adopt(unpacker: Unpacker, call: Call, storageId: string, directory: string): Promise<SnapshotName> {
  const name = adoptedName(directory);
  await once(`${storageId} ${name}`, Promise.resolve(), async () => {
    const storage = await unpacker.storage(storageId);
    if (await snapshotExists(storage, call, name)) return;
    if (!supports(storage, "adopt"))
      throw fail("Unsupported", `the storage driver ${storageId} can't take ${directory} as a base: choose another with --storage`);
    await storage.adopt(call, name, directory);
  });
  return name;
}

/** The driver applies the layer itself if it can; otherwise the host applies it to the mounted tree. */
export async function applyLayer(unpacker: Unpacker, storage: StorageDriver, call: Call, key: ActiveKey, file: LayerFile): Promise<Layer> {
  if (supports(storage, "apply")) return storage.apply(call, key, file);
  return withMounts(call, unpacker.host, await storage.mounts(call, key), (root) => unpacker.host.apply(call, root, file));
}

async function commit(storage: StorageDriver, call: Call, name: SnapshotName, key: ActiveKey): Promise<void> {
  try {
    await storage.commit(call, name, key, { volatile: true });
  } catch (error) {
    if (!isTsboxError(error) || error.code !== "AlreadyExists") throw error;
    await storage.remove(call, key);
  }
}

/** `whole`: resolves when the caller's own layer is here as a whole. */
async function once(key: string, whole: Promise<void>, work: () => Promise<void>): Promise<void> {
  const running = underWay.get(key);
  // The other work may have failed because its own caller canceled it, so this one tries again. It may also unpack a layer that is still
  // being downloaded, slowly: what is here as a whole does not wait for that.
  if (running !== undefined) {
    const ahead = whole.then(async () => {
      if (!running.isWhole) await pause(sameTime);
      if (!running.isWhole) throw new Error("its layer is not here");
      return running.work;
    });
    const isDone = await Promise.race([running.work, ahead]).then(
      () => true,
      () => false,
    );
    if (isDone) return;
  }
  const mine: Unpacking = { work: work(), isWhole: false };
  whole.then(
    () => {
      mine.isWhole = true;
    },
    () => {},
  );
  underWay.set(key, mine);
  try {
    await mine.work;
  } finally {
    if (underWay.get(key) === mine) underWay.delete(key);
  }
}

/** Unpacks every layer of an image that is not unpacked yet. Answers the topmost snapshot; null: the image has no layers. */
export async function unpackImage(unpacker: Unpacker, call: Call, storageId: string, record: ImageRecord): Promise<SnapshotName | null> {
  const base = record.adopted === null ? null : await adopt(unpacker, call, storageId, record.adopted);
  const chain = chainIds(record.diffIds, base);
  for (const [at, name] of chain.entries()) {
    const [layer, diffId] = [record.layers[at], record.diffIds[at]];
    if (layer && diffId) await unpackLayer(unpacker, call, storageId, name, chain[at - 1] ?? base, diffId, layer);
  }
  return chain.at(-1) ?? base;
}
