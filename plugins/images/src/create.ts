/** Makes an image from a parent, a layer and a config, for `commit` and `import`. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, rm } from "node:fs/promises";
import {
  asError,
  type Call,
  cleanupCall,
  type Descriptor,
  type Digest,
  fail,
  isTsboxError,
  type Layer,
  type LayerFile,
  limits,
  type NewImage,
  parseActiveKey,
  type SnapshotName,
  type StorageDriver,
  supports,
  withCleanup,
  withMounts,
} from "@tsbox/kernel";
import type { Hold, ImagesEngine } from "./engine.ts";
import { chainOf, rawConfig, type Step, stepsOf } from "./history.ts";
import { imageEvent } from "./image-events.ts";
import { applyInstructions } from "./instructions.ts";
import { parseConfig } from "./manifest.ts";
import { hostPlatform, parsePlatform } from "./platform.ts";
import { blobsOf, type ImageRecord } from "./records.ts";
import { familiar, full, parseNewName } from "./reference.ts";
import { applyLayer, beingMade, chainIds, unpackImage } from "./unpack.ts";

const types = {
  manifest: "application/vnd.oci.image.manifest.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar",
  adopted: "application/vnd.tsbox.directory.v1+json",
} as const;
/** The sha256 of a tar without members, two blocks of zeros: a layer without changes. */
const emptyLayer = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef" as Digest;
let count = 0;

export async function create(engine: ImagesEngine, call: Call, image: NewImage): Promise<ImageRecord> {
  const { records, content } = engine;
  const reference = image.reference === null ? null : parseNewName(image.reference, null, "cannot import digest reference");
  const config = applyInstructions(image.config, image.changes);
  const parent = image.parent === null ? null : records.byId(image.parent);
  return withCleanup(async (cleanup) => {
    const hold: Hold = async (names) => cleanup.always(await engine.leases.hold(names));
    // If the parent is removed meanwhile, the layers and blobs that the new image shares stay.
    if (parent !== null) await hold([...chainOf(parent), ...blobsOf(parent)]);
    const steps = parent === null ? [] : stepsOf(await rawConfig(content, call, parent), parent.diffIds.length);
    const platform = image.platform === null ? (parent?.platform ?? hostPlatform) : parsePlatform(image.platform);
    const created = new Date().toISOString();
    const configWith = (diffIds: readonly Digest[], hasLayer: boolean): Uint8Array => {
      const { architecture, os, variant } = platform;
      const step: Step = {
        created,
        ...(image.createdBy === "" ? {} : { created_by: image.createdBy }),
        ...(image.author === "" ? {} : { author: image.author }),
        ...(image.comment === "" ? {} : { comment: image.comment }),
        ...(hasLayer ? {} : { empty_layer: true }),
      };
      return json({
        created,
        ...(image.author === "" ? {} : { author: image.author }),
        architecture,
        os,
        ...(variant === null ? {} : { variant }),
        config: withoutUndefined(config),
        rootfs: { type: "layers", diff_ids: diffIds },
        history: [...steps, step],
      });
    };
    // With any layer in the place of the new one: a config that can't be read back is refused before anything is made.
    refuseUnreadable(configWith([...(parent?.diffIds ?? []), emptyLayer], true));
    const storageId = await engine.preferredStorage();
    const storage = await engine.storage(storageId);
    const below = parent === null ? null : await unpackImage(engine, call, storageId, parent);
    const made = image.layer === null ? null : await addLayer(engine, call, storage, below, image.layer, hold);
    const diffIds = [...(parent?.diffIds ?? []), ...(made === null ? [] : [made.diffId])];
    const layers = [...(parent?.layers ?? []), ...(made === null ? [] : [made.blob])];
    const blob = configWith(diffIds, made !== null);
    const configBlob = await keep(engine, call, types.config, blob, hold);
    const adopted = parent?.adopted ?? null;
    const manifest = await keep(
      engine,
      call,
      adopted === null ? types.manifest : types.adopted,
      json({
        schemaVersion: 2,
        mediaType: adopted === null ? types.manifest : types.adopted,
        config: configBlob,
        layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
        ...(adopted === null ? {} : { annotations: { "io.tsbox.directory": adopted } }),
      }),
      hold,
    );
    const parsed = parseConfig(blob, "the new image");
    const record: ImageRecord = {
      id: configBlob.digest,
      manifest: adopted === null ? manifest : { ...manifest, annotations: { "io.tsbox.directory": adopted } },
      platform,
      createdAt: parsed.createdAt,
      size: (parent?.size ?? 0) + (made === null ? 0 : (await storage.usage(call, made.name)).bytes),
      config: parsed.config,
      rawConfig: configBlob.digest,
      diffIds,
      layers,
      adopted,
      parent: parent?.id ?? null,
    };
    await records.keep(call, record, reference === null ? [] : [full(reference)], null);
    if (reference !== null) await imageEvent(engine.events, call, "tag", record, { name: familiar(reference) });
    return record;
  });
}

/** `InvalidArgument`: the config has more, or longer, fields than an image may have. */
function refuseUnreadable(blob: Uint8Array): void {
  if (blob.length > limits.largestManifest)
    throw fail(
      "InvalidArgument",
      `the image's config would have ${blob.length} bytes, and an image may have ${limits.largestManifest}: leave out variables, labels or history`,
    );
  try {
    parseConfig(blob, "the new image");
  } catch (error) {
    const why = asError(error).message.replace(/: it is damaged where it comes from$/, "");
    throw fail("InvalidArgument", `${why}: change what it is made with`, { cause: error });
  }
}

interface Added {
  readonly name: SnapshotName;
  readonly diffId: Digest;
  readonly blob: Descriptor;
}

/** The layer as a snapshot on `below`, and as a blob. Null: the layer has no changes. */
async function addLayer(
  engine: ImagesEngine,
  call: Call,
  storage: StorageDriver,
  below: SnapshotName | null,
  path: string,
  hold: Hold,
): Promise<Added | null> {
  return withCleanup(async (cleanup) => {
    const compression = await compressionOf(path);
    let file: LayerFile = { path, mediaType: `${types.layer}${compression ?? ""}` };
    count += 1;
    const key = parseActiveKey(`create-${process.pid}-${count}`);
    let done = false;
    cleanup.always(beingMade(key));
    await storage.prepare(call, key, below);
    cleanup.always(() => (done ? undefined : storage.remove(cleanupCall(call), key)));
    let layer: Layer = await applyLayer(engine, storage, call, key, file);
    if (layer.diffId === emptyLayer) return null;
    if (compression === null) {
      // Registries do not accept this compression, so the blob is made again from the tree.
      file = { path: `${engine.workDirectory}/create-${process.pid}-${count}.tar`, mediaType: `${types.layer}+gzip` };
      cleanup.always(() => rm(file.path, { force: true }));
      layer = await diff(engine, storage, call, below, key, file);
    }
    const base = below === null ? [] : [below];
    const name = nameOn(base[0] ?? null, layer.diffId);
    await hold([name, layer.digest]);
    await engine.content.ingest(
      call,
      { digest: layer.digest, size: layer.size },
      0,
      createReadStream(file.path) as AsyncIterable<Uint8Array>,
    );
    try {
      await storage.commit(call, name, key);
      done = true;
    } catch (error) {
      // Another image has the same layer on the same parents.
      if (!isTsboxError(error) || error.code !== "AlreadyExists") throw error;
    }
    return { name, diffId: layer.diffId, blob: { mediaType: file.mediaType, digest: layer.digest, size: layer.size } };
  });
}

const nameOn = (below: SnapshotName | null, diffId: Digest): SnapshotName => chainIds([diffId], below)[0] as SnapshotName;

async function diff(
  engine: ImagesEngine,
  storage: StorageDriver,
  call: Call,
  below: SnapshotName | null,
  key: ReturnType<typeof parseActiveKey>,
  into: LayerFile,
): Promise<Layer> {
  if (supports(storage, "diff")) return storage.diff(call, below, key, into);
  return withCleanup(async (cleanup) => {
    const upper = await storage.mounts(call, key);
    if (below === null) return withMounts(call, engine.host, upper, (root) => engine.host.diff(call, null, root, into));
    const view = `${key}-below` as Parameters<StorageDriver["view"]>[1];
    const lower = await storage.view(call, view, below);
    cleanup.always(() => storage.remove(cleanupCall(call), view));
    return withMounts(call, engine.host, upper, (root) =>
      withMounts(call, engine.host, lower, (lowerRoot) => engine.host.diff(call, lowerRoot, root, into)),
    );
  });
}

/** The suffix of the media type; null: a compression without a media type. */
async function compressionOf(path: string): Promise<"" | "+gzip" | "+zstd" | null> {
  const file = await open(path);
  try {
    const { buffer } = await file.read(Buffer.alloc(6), 0, 6, 0);
    const magic = buffer.toString("hex");
    if (magic.startsWith("1f8b")) return "+gzip";
    if (magic.startsWith("28b52ffd")) return "+zstd";
    return magic.startsWith("425a68") || magic === "fd377a585a00" ? null : "";
  } finally {
    await file.close();
  }
}

async function keep(engine: ImagesEngine, call: Call, mediaType: string, bytes: Uint8Array, hold: Hold): Promise<Descriptor> {
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest;
  await hold([digest]);
  await engine.content.ingest(call, { digest, size: bytes.length }, 0, once(bytes));
  return { mediaType, digest, size: bytes.length };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

const json = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
const withoutUndefined = (config: Readonly<Record<string, unknown>>): unknown => JSON.parse(JSON.stringify(config));
