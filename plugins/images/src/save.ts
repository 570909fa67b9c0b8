/**
 * Writes images as one tar, in the form of Docker 25 and later: an OCI layout (blobs, index.json, oci-layout) that is also a docker-archive
 * (manifest.json, repositories). Blobs are copied from the content store with their compression: every digest stays the same, and nothing
 * is held in memory.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { rm } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import {
  type Call,
  cleanupCall,
  type Descriptor,
  type Digest,
  fail,
  type Layer,
  type LayerFile,
  parseViewKey,
  type Sparse,
  supports,
  withCleanup,
  withMounts,
} from "@tsbox/kernel";
import { type Pack, pack } from "tar-stream";
import type { ImagesEngine } from "./engine.ts";
import { rawConfig } from "./history.ts";
import { imageEvent } from "./image-events.ts";
import { isDockers } from "./place.ts";
import { fits, parsePlatform, platformText } from "./platform.ts";
import { blobsOf, type ImageRecord } from "./records.ts";
import { familiar, familiarName, full, parseReference } from "./reference.ts";
import { discard, wholeChain } from "./remove.ts";
import { beingMade, unpackImage } from "./unpack.ts";

/** The parts of one saved image. A blob is bytes, or the path of a file. */
interface Saved {
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly diffIds: readonly Digest[];
  /** Full names with tags. */
  readonly names: readonly string[];
  readonly blobs: ReadonlyMap<Digest, Uint8Array | string>;
}

const beginning = new Date(0);

export async function save(
  engine: ImagesEngine,
  call: Call,
  references: readonly string[],
  options: Sparse<{ platform: string; materialize: boolean }>,
): Promise<AsyncIterable<Uint8Array>> {
  if (references.length === 0) throw fail("InvalidArgument", "no image to save: name at least one");
  const wanted = new Map<Digest, { readonly record: ImageRecord; readonly names: Set<string> }>();
  for (const reference of references)
    for (const { record, name } of named(engine, reference)) {
      const entry = wanted.get(record.id) ?? { record, names: new Set<string>() };
      if (name !== null) entry.names.add(name);
      wanted.set(record.id, entry);
      check(record, reference, options);
    }
  for (const { record } of wanted.values()) await imageEvent(engine.events, call, "save", record);
  return archive(engine, call, [...wanted.values()]);
}

function check(
  record: ImageRecord,
  reference: string,
  { platform, materialize }: Sparse<{ platform: string; materialize: boolean }>,
): void {
  if (platform !== undefined && !fits(parsePlatform(platform), record.platform))
    throw fail("NotFound", `No such image: ${reference} for ${platform}: the one that is here is for ${platformText(record.platform)}`);
  if (record.adopted !== null && materialize !== true)
    throw fail(
      "InvalidArgument",
      `${reference} stands on ${record.adopted} of this machine, which is in no layer of it: save it with --materialize, which writes all of that out`,
    );
}

/** A repository without a tag means all of its tags. */
function named(engine: ImagesEngine, reference: string): readonly { readonly record: ImageRecord; readonly name: string | null }[] {
  const { records } = engine;
  const bare = isDockers(reference) && !/[:@][^/]*$/.test(reference);
  if (bare && /^[a-z0-9]/.test(reference)) {
    const repository = familiarName(parseReference(reference));
    const tags = records
      .names()
      .filter((name) => isDockers(name) && !name.includes("@") && familiarName(parseReference(name)) === repository);
    if (tags.length > 0)
      return tags.map((name) => records.find(name.startsWith("docker.io/") ? familiar(parseReference(name)) : name)).map(tagged);
  }
  return [tagged(records.find(reference))];
}

/** A name with a digest, or of another transport, is not written to the archive. */
function tagged({ record, name }: { readonly record: ImageRecord; readonly name: string | null }): {
  readonly record: ImageRecord;
  readonly name: string | null;
} {
  return { record, name: name !== null && isDockers(name) && !name.includes("@") ? name : null };
}

async function* archive(
  engine: ImagesEngine,
  call: Call,
  images: readonly { readonly record: ImageRecord; readonly names: ReadonlySet<string> }[],
): AsyncGenerator<Uint8Array> {
  // If an image is removed meanwhile, its blobs and layers stay until the archive is written, and are removed then.
  const held = images.flatMap(({ record }) => [...blobsOf(record), ...wholeChain(record)]);
  const release = await engine.leases.hold(held);
  const tar = pack();
  const writing = write(engine, call, images, tar).then(
    () => tar.finalize(),
    (error: unknown) => tar.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  try {
    yield* tar as AsyncIterable<Uint8Array>;
  } finally {
    tar.destroy();
    await writing;
    release();
    for (const { record } of images) if (engine.records.known(record.id) === null) await discard(engine, cleanupCall(call), record);
  }
}

async function write(
  engine: ImagesEngine,
  call: Call,
  images: readonly { readonly record: ImageRecord; readonly names: ReadonlySet<string> }[],
  tar: Pack,
): Promise<void> {
  await withCleanup(async (cleanup) => {
    const written = new Set<Digest>();
    const saved: Saved[] = [];
    for (const folder of ["blobs/", "blobs/sha256/"]) await member(tar, { name: folder, type: "directory", mode: 0o755 });
    for (const { record, names } of images) {
      const one =
        record.adopted === null
          ? await whole(engine, call, record, [...names])
          : await materialized(engine, call, record, [...names], (path) => cleanup.always(() => rm(path, { force: true })));
      saved.push(one);
      for (const [digest, blob] of one.blobs) {
        call.signal.throwIfAborted();
        if (written.has(digest)) continue;
        written.add(digest);
        await blobMember(tar, path(digest), blob, sizeOf(one, digest));
      }
    }
    for (const [name, value] of Object.entries(indexes(saved))) await member(tar, { name, mode: 0o644 }, json(value));
  });
}

const path = (digest: Digest): string => `blobs/${digest.replace(":", "/")}`;
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

function sizeOf({ manifest, config, layers }: Saved, digest: Digest): number {
  return [manifest, config, ...layers].find((blob) => blob.digest === digest)?.size ?? 0;
}

async function whole({ content }: ImagesEngine, call: Call, record: ImageRecord, names: readonly string[]): Promise<Saved> {
  const blobs = new Map<Digest, Uint8Array | string>();
  for (const digest of [...record.layers.map((layer) => layer.digest), record.rawConfig, record.manifest.digest])
    blobs.set(digest, await content.path(call, digest));
  const manifest = await content.read(call, record.manifest.digest);
  const { config } = JSON.parse(Buffer.from(manifest).toString()) as { readonly config: Descriptor };
  return { manifest: record.manifest, config, layers: record.layers, diffIds: record.diffIds, names, blobs };
}

/** An image of one layer with the adopted directory and all layers on it. */
async function materialized(
  engine: ImagesEngine,
  call: Call,
  record: ImageRecord,
  names: readonly string[],
  temporary: (path: string) => void,
): Promise<Saved> {
  const layerFile: LayerFile = {
    path: `${engine.workDirectory}/materialize-${process.pid}-${Date.now()}-${record.id.slice(7, 19)}.tar`,
    mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
  };
  temporary(layerFile.path);
  const layer = await flatten(engine, call, record, layerFile);
  const raw = await rawConfig(engine.content, call, record);
  const created = new Date(record.createdAt).toISOString();
  const config = json({
    ...raw,
    created,
    rootfs: { type: "layers", diff_ids: [layer.diffId] },
    history: [{ created, created_by: `materialized from host:${record.adopted}` }],
  });
  const describe = (mediaType: string, bytes: Uint8Array): Descriptor => ({
    mediaType,
    digest: `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest,
    size: bytes.length,
  });
  const configBlob = describe("application/vnd.oci.image.config.v1+json", config);
  const layerBlob: Descriptor = { mediaType: layerFile.mediaType, digest: layer.digest, size: layer.size };
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = json({ schemaVersion: 2, mediaType, config: configBlob, layers: [layerBlob] });
  const manifestBlob = describe(mediaType, manifest);
  return {
    manifest: manifestBlob,
    config: configBlob,
    layers: [layerBlob],
    diffIds: [layer.diffId],
    names,
    blobs: new Map<Digest, Uint8Array | string>([
      [layerBlob.digest, layerFile.path],
      [configBlob.digest, config],
      [manifestBlob.digest, manifest],
    ]),
  };
}

async function flatten(engine: ImagesEngine, call: Call, record: ImageRecord, into: LayerFile): Promise<Layer> {
  const storageId = await engine.preferredStorage();
  const storage = await engine.storage(storageId);
  const top = await unpackImage(engine, call, storageId, record);
  if (top === null) throw fail("Internal", `${record.id} stands on a directory and has no layer`);
  const key = parseViewKey(`materialize-${process.pid}-${Date.now()}`);
  return withCleanup(async (cleanup) => {
    cleanup.always(beingMade(key));
    const mounts = await storage.view(call, key, top);
    cleanup.always(() => storage.remove(cleanupCall(call), key));
    return supports(storage, "diff")
      ? storage.diff(call, null, key, into)
      : withMounts(call, engine.host, mounts, (root) => engine.host.diff(call, null, root, into));
  });
}

/** The files besides the blobs. */
function indexes(saved: readonly Saved[]): Readonly<Record<string, unknown>> {
  const repositories: Record<string, Record<string, string>> = {};
  for (const { names, layers } of saved)
    for (const name of names) {
      const reference = parseReference(name);
      const top = layers.at(-1);
      if (reference.tag === null || top === undefined) continue;
      const repository = familiarName(reference);
      repositories[repository] = { ...repositories[repository], [reference.tag]: top.digest.slice("sha256:".length) };
    }
  const described = (one: Saved, name: string | null): Descriptor => {
    const { mediaType, digest, size, platform } = one.manifest;
    const annotations =
      name === null
        ? null
        : { "io.containerd.image.name": full(parseReference(name)), "org.opencontainers.image.ref.name": parseReference(name).tag ?? "" };
    return { mediaType, digest, size, ...(platform ? { platform } : {}), ...(annotations ? { annotations } : {}) };
  };
  return {
    "index.json": {
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.index.v1+json",
      manifests: saved.flatMap((one) => (one.names.length > 0 ? one.names : [null]).map((name) => described(one, name))),
    },
    "manifest.json": saved.map(({ config, layers, diffIds, names }) => ({
      Config: path(config.digest),
      RepoTags: names.length > 0 ? names.map((name) => familiar(parseReference(name))) : null,
      Layers: layers.map((layer) => path(layer.digest)),
      LayerSources: Object.fromEntries(
        layers.map(({ mediaType, size, digest }, at) => [diffIds[at] ?? digest, { mediaType, size, digest }]),
      ),
    })),
    "oci-layout": { imageLayoutVersion: "1.0.0" },
    ...(Object.keys(repositories).length > 0 ? { repositories } : {}),
  };
}

interface Head {
  readonly name: string;
  readonly mode: number;
  readonly type?: "directory";
}

function member(tar: Pack, head: Head, bytes: Buffer = Buffer.alloc(0)): Promise<void> {
  return new Promise((resolve, reject) => {
    tar.entry({ ...head, size: bytes.length, mtime: beginning }, bytes, (error) => (error ? reject(error) : resolve()));
  });
}

async function blobMember(tar: Pack, name: string, blob: Uint8Array | string, size: number): Promise<void> {
  if (typeof blob !== "string") return member(tar, { name, mode: 0o644 }, Buffer.from(blob));
  const entry = tar.entry({ name, mode: 0o644, size, mtime: beginning });
  await pipeline(createReadStream(blob, { highWaterMark: 1 << 20 }), entry);
}
