/**
 * Brings an image from a reference to blobs in the content store, snapshots and a record: resolve, manifest, config, concurrent layers,
 * unpacking in order.
 */
import {
  type Access,
  type Call,
  type ContentService,
  cleanupCall,
  type Descriptor,
  type Digest,
  fail,
  isTsboxError,
  limits,
  type Platform,
  type PullProgress,
  type RegistryDriver,
  snapshotExists,
  supports,
  withCleanup,
} from "@tsbox/kernel";
import type { Hold, ImagesEngine } from "./engine.ts";
import { type ConfigBlob, isIndex, type Manifest, mediaTypes, parseConfig, parseIndex, parseManifest } from "./manifest.ts";
import { choose, hostPlatform, parsePlatform } from "./platform.ts";
import { blobsOf, type ImageRecord } from "./records.ts";
import { abandon, dropBlob } from "./remove.ts";
import { adopt, adoptedName, chainIds, compareDiffId, unpackLayer } from "./unpack.ts";

/** The source of an image: a driver, and the reference in the driver's form. */
export interface Source {
  readonly driver: RegistryDriver;
  readonly ref: string;
  readonly access: Access;
  /** The reference for error messages. */
  readonly shown: string;
}
export type Report = (line: PullProgress) => void;

/** Concurrent downloads of layers; the number is Docker's. */
const sideBySide = 3;
const mostTries = 4;
/** Milliseconds between two reports of one download. */
const reportEvery = 100;

const short = (digest: Digest): string => digest.slice("sha256:".length, "sha256:".length + 12);
const line = (report: Report, id: Digest | null, status: string, current: number | null = null, total: number | null = null): void =>
  report({ id: id === null ? null : short(id), status, current, total });

/**
 * Fetches the manifest, config and layers of one image, and unpacks the layers with the storage driver `storageId`. `keep` writes the
 * image's record. Until then leases keep the blobs and layers of this image, also if another image that shares them is removed.
 */
export async function bring(
  engine: ImagesEngine,
  call: Call,
  source: Source,
  top: Descriptor,
  wanted: string | undefined,
  storageId: string,
  report: Report,
  keep: (record: ImageRecord) => Promise<void>,
): Promise<ImageRecord> {
  const held: string[] = [];
  const blobs: Digest[] = [top.digest];
  try {
    const kept = await withCleanup(async (cleanup) => {
      const hold: Hold = async (names) => {
        held.push(...names);
        cleanup.always(await engine.leases.hold(names));
      };
      await hold([top.digest]);
      const fetched = await fetchImage(engine, call, source, top, wanted, storageId, report, hold);
      const former = engine.records.known(fetched.id);
      blobs.push(...blobsOf(fetched), ...(former === null ? [] : blobsOf(former)));
      const record = former !== null && (await isWhole(engine, call, former, fetched)) ? former : fetched;
      await keep(record);
      return record;
    });
    // An index whose digest is in no name, or the other manifest of an image that was here already.
    for (const digest of new Set(blobs)) await dropBlob(engine, cleanupCall(call), digest);
    return kept;
  } catch (error) {
    // After a final error the parts of the pull are removed; after any other one the next pull continues with them.
    if (isTsboxError(error) && final.has(error.code)) await abandon(engine, cleanupCall(call), held);
    throw error;
  }
}

/**
 * Whether the image that is here already stays as it is. Its id is the digest of its config alone, so somebody else's manifest must not
 * replace the one that its layers came by.
 */
async function isWhole({ content }: ImagesEngine, call: Call, former: ImageRecord, fetched: ImageRecord): Promise<boolean> {
  if (former.adopted !== fetched.adopted) return false;
  for (const digest of blobsOf(former)) if ((await content.stat(call, digest)) === null) return false;
  return true;
}

/** Errors that a retry does not fix. */
const final: ReadonlySet<string> = new Set(["DataLoss", "InvalidArgument", "NotFound", "PermissionDenied", "Unsupported"]);

async function fetchImage(
  engine: ImagesEngine,
  call: Call,
  source: Source,
  top: Descriptor,
  wanted: string | undefined,
  storageId: string,
  report: Report,
  hold: Hold,
): Promise<ImageRecord> {
  const { content } = engine;
  const platform: Platform = wanted === undefined ? hostPlatform : parsePlatform(wanted);
  const descriptor = isIndex(top) ? choose(parseIndex(await small(content, call, source, top), source.shown), platform, source.shown) : top;
  await hold([descriptor.digest]);
  if (descriptor.mediaType === mediaTypes.adopted && !supports(source.driver, "directories"))
    throw fail(
      "PermissionDenied",
      `${source.shown} wants to stand on a directory of this host, which only a driver with the power directories may`,
    );
  const bytes = await small(content, call, source, descriptor);
  const manifest = parseManifest(bytes, source.shown);
  await hold([manifest.config.digest, ...manifest.layers.map(({ digest }) => digest)]);
  const config = parseConfig(await small(content, call, source, manifest.config), source.shown);
  if (wanted !== undefined && !isIndex(top) && (config.os !== platform.os || config.architecture !== platform.architecture))
    throw fail(
      "NotFound",
      `image with reference ${source.shown} was found but its platform (${config.os}/${config.architecture}) does not match the specified platform (${wanted})`,
    );
  if (config.diffIds.length !== manifest.layers.length)
    throw fail(
      "DataLoss",
      `${source.shown} has ${manifest.layers.length} layers, but its config says ${config.diffIds.length}: the image is damaged where it comes from`,
    );
  const adopted = descriptor.mediaType === mediaTypes.adopted ? (descriptor.annotations?.["io.tsbox.directory"] ?? "/") : null;
  const base = adopted === null ? null : adoptedName(adopted);
  await hold([...(base === null ? [] : [base]), ...chainIds(config.diffIds as readonly Digest[], base)]);
  const size = await bringLayers(engine, call, source, manifest, config, adopted, storageId, report);
  return {
    id: manifest.config.digest,
    manifest: descriptor,
    platform: { os: config.os, architecture: config.architecture, variant: config.variant },
    createdAt: config.createdAt,
    size,
    config: config.config,
    rawConfig: manifest.config.digest,
    diffIds: config.diffIds as readonly Digest[],
    layers: manifest.layers,
    adopted,
    parent: null,
  };
}

async function small(content: ContentService, call: Call, source: Source, blob: Descriptor): Promise<Uint8Array> {
  // Checked before the download.
  if (blob.size > limits.largestManifest)
    throw fail(
      "DataLoss",
      `${blob.digest} of ${source.shown} is said to be ${blob.size} bytes long, more than ${limits.largestManifest}: that is no manifest`,
    );
  await fetchBlob(content, call, source, blob, () => {});
  return content.read(call, blob.digest);
}

/** The download of a layer: `begun` resolves with its first bytes, `whole` when it is verified and in the content store. */
interface Download {
  readonly begun: Promise<unknown>;
  readonly whole: Promise<void>;
}

/**
 * Downloads run ahead of the unpacking, which goes up the chain and begins with a layer when its first bytes arrive. Answers the size of
 * the layers.
 */
async function bringLayers(
  engine: ImagesEngine,
  call: Call,
  source: Source,
  manifest: Manifest,
  config: ConfigBlob,
  adopted: string | null,
  storageId: string,
  report: Report,
): Promise<number> {
  const base = adopted === null ? null : await adopt(engine, call, storageId, adopted);
  const chain = chainIds(config.diffIds as readonly Digest[], base);
  const stop = new AbortController();
  const slots = new Slots(sideBySide);
  const downloads = manifest.layers.map((layer): Download => {
    line(report, layer.digest, "Pulling fs layer");
    const { promise: comes, resolve: begin } = Promise.withResolvers<void>();
    const whole = slots.run(async () => {
      stop.signal.throwIfAborted();
      await fetchBlob(engine.content, call, source, layer, report, begin);
    });
    // Awaited below in order. The empty handler is for a download that fails while an earlier layer is unpacked: it must not be an
    // unhandled rejection.
    whole.catch(() => {});
    return { begun: Promise.race([comes, whole]).catch(() => {}), whole };
  });
  const unpacking: Promise<void>[] = [];
  try {
    const storage = await engine.storage(storageId);
    let size = 0;
    for (const [at, layer] of manifest.layers.entries()) {
      const [name, diffId, download] = [chain[at], config.diffIds[at], downloads[at]];
      if (name === undefined || diffId === undefined || download === undefined) break;
      await download.begun;
      const isThere = await snapshotExists(storage, call, name);
      const unpacked = isThere
        ? download.whole.then(() => compareLayer(engine, call, layer, diffId as Digest))
        : unpackLayer(engine, call, storageId, name, chain[at - 1] ?? base, diffId as Digest, layer, download.whole);
      unpacked.catch(() => {});
      unpacking.push(unpacked);
      await download.whole;
      line(report, layer.digest, "Extracting", layer.size, layer.size);
      await unpacked;
      size += (await storage.usage(call, name)).bytes;
      line(report, layer.digest, "Pull complete");
    }
    return size;
  } finally {
    stop.abort(fail("Canceled", "another layer of the image failed"));
    await Promise.allSettled([...downloads.map(({ whole }) => whole), ...unpacking]);
  }
}

/** A layer that is unpacked already, from this blob or from another one. */
async function compareLayer({ records, content }: ImagesEngine, call: Call, layer: Descriptor, diffId: Digest): Promise<void> {
  const isKnown = records
    .all()
    .some(({ diffIds, layers }) => diffIds.some((id, at) => id === diffId && layers[at]?.digest === layer.digest));
  if (!isKnown) await compareDiffId(call, await content.path(call, layer.digest), layer, diffId);
}

/** Downloads a blob. After a temporary error it retries a few times, from the byte where it stopped. */
async function fetchBlob(
  content: ContentService,
  call: Call,
  source: Source,
  blob: Descriptor,
  report: Report,
  begin: () => void = () => {},
): Promise<void> {
  const found = await content.stat(call, blob.digest);
  if (found !== null) {
    if (found.size !== blob.size)
      throw fail(
        "DataLoss",
        `${blob.digest} of ${source.shown} is said to have ${blob.size} bytes, and has ${found.size}: the image is damaged where it comes from`,
      );
    line(report, blob.digest, "Already exists");
    return;
  }
  // Another pull downloads the same blob too slowly to be waited for.
  let apart = false;
  for (let attempt = 1; ; attempt += 1) {
    const from = apart ? 0 : await content.offset(call, blob.digest);
    const start = from < blob.size ? from : 0;
    try {
      const bytes = counted(() => source.driver.fetch(call, source.ref, blob, start, source.access), blob, start, report, begin);
      await content.ingest(call, { digest: blob.digest, size: blob.size, apart }, start, bytes);
      line(report, blob.digest, "Download complete");
      return;
    } catch (error) {
      if (attempt === mostTries || !isTsboxError(error)) throw error;
      if (error.reason === "content/slow") apart = true;
      // The bytes that were here may have come from another registry, which lied.
      else if (start > 0 && resumeFailures.has(error.code)) line(report, blob.digest, "Downloading from the beginning");
      else if (error.code !== "Unavailable") throw error;
      else {
        line(report, blob.digest, `Retrying in ${attempt} second${attempt === 1 ? "" : "s"}`);
        await pauseFor(call, attempt * 1000);
      }
    }
  }
}

/** Errors that a download from the beginning may not have. */
const resumeFailures: ReadonlySet<string> = new Set(["DataLoss", "FailedPrecondition"]);

async function* counted(
  fetch: () => Promise<AsyncIterable<Uint8Array>>,
  blob: Descriptor,
  from: number,
  report: Report,
  begin: () => void,
): AsyncGenerator<Uint8Array> {
  // Asked for here, since the content store reads nothing of a blob that another pull brings: the connection would stay open, unread.
  const bytes = await fetch();
  // The content store has opened its file by the time it asks for bytes.
  begin();
  let current = from;
  let reportedAt = 0;
  for await (const chunk of bytes) {
    current += chunk.length;
    const now = Date.now();
    if (now - reportedAt >= reportEvery) {
      reportedAt = now;
      line(report, blob.digest, "Downloading", current, blob.size);
    }
    yield chunk;
  }
  line(report, blob.digest, "Verifying Checksum");
}

function pauseFor(call: Call, milliseconds: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    call.signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        reject(call.signal.reason);
      },
      { once: true },
    );
  });
}

/** Lets a fixed number of tasks run at a time, first come, first served. */
class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#free -= 1;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    }
  }
}
