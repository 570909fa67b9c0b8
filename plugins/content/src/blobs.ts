/**
 * Blobs on disk: `blobs/sha256/HEX`, and `ingest/HEX` for a download that is in progress or interrupted (`ingest/any-N` if the digest is
 * not known before). A blob is renamed into `blobs` once its bytes are verified and on disk. So every file there is complete, even after a
 * power cut.
 */
import { Buffer } from "node:buffer";
import { createHash, type Hash } from "node:crypto";
import { mkdirSync } from "node:fs";
import { type FileHandle, lstat, open, opendir, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { asError, type BlobInfo, type Call, type ContentService, type Digest, fail, limits, parseDigest, systemCode } from "@tsbox/kernel";

/** In milliseconds. A download that a daemon's death interrupted can be resumed if it is requested again within this time. */
const resumeWithin = 3_600_000;

/** How slowly a download may come that another call waits for: at least `bytes` in each `milliseconds`. */
export interface Pace {
  readonly milliseconds: number;
  readonly bytes: number;
}

/** 64 KiB a second. What another registry sends slowly, with or without bad intent, must not hold up this one's image. */
const slowest: Pace = { milliseconds: 5_000, bytes: 320 << 10 };

/** A blob that is being stored. */
interface Storing {
  readonly done: Promise<BlobInfo>;
  /** Bytes; infinite when all have come, since the disk may then take its time. */
  received: number;
}

export async function openBlobs(root: string, pace: Pace = slowest): Promise<ContentService> {
  const blobs = join(root, "blobs", "sha256");
  const ingest = join(root, "ingest");
  mkdirSync(blobs, { recursive: true, mode: 0o700 });
  mkdirSync(ingest, { recursive: true, mode: 0o700 });
  // Removes downloads that an earlier daemon did not finish: those that can't be requested by digest, and those that are too old.
  for (const name of await readdir(ingest)) {
    const { mtimeMs } = await lstat(join(ingest, name));
    if (!/^[0-9a-f]{64}$/.test(name) || Date.now() - mtimeMs > resumeWithin) await rm(join(ingest, name), { force: true, recursive: true });
  }
  const file = (digest: Digest): string => join(blobs, parseDigest(digest).slice("sha256:".length));
  const partial = (digest: Digest): string => join(ingest, parseDigest(digest).slice("sha256:".length));
  const busy = new Map<string, Storing>();
  /** Blobs in transfer whose file exists, with their full size. */
  const arriving = new Map<Digest, number>();
  const followed = new Map<string, FileHandle>();
  /** Files in `ingest` that are being written. */
  const writing = new Set<string>();
  let count = 0;

  const look = async (digest: Digest): Promise<BlobInfo | null> => {
    const found = await stat(file(digest)).catch(absent);
    return found === null ? null : { digest, size: found.size };
  };
  const missing = (digest: Digest): Error => fail("NotFound", `no blob ${digest}: pull the image again`);

  const take = async (
    call: Call,
    expected: Expected,
    from: number,
    bytes: AsyncIterable<Uint8Array>,
    received: (size: number) => void = () => {},
  ): Promise<BlobInfo> => {
    const { digest: wanted, apart = false } = expected;
    const known = wanted === undefined ? null : await look(wanted);
    if (known) return known;
    count += 1;
    const path = wanted === undefined || apart ? join(ingest, `any-${process.pid}-${count}`) : partial(wanted);
    writing.add(path);
    const { digest: key, size } = expected;
    const opened = (): void => {
      if (key !== undefined && size !== undefined && !apart) arriving.set(key, size);
    };
    const got = await receive(call, path, from, bytes, expected, opened, received)
      .finally(() => key !== undefined && !apart && arriving.delete(key))
      .then(async (whole) => {
        await rename(path, file(whole.digest));
        await syncDirectory(blobs);
        return whole;
      })
      .finally(() => writing.delete(path));
    return got;
  };

  return {
    stat: (_call, digest) => look(digest),
    path: async (_call, digest) => {
      if ((await look(digest)) === null) throw missing(digest);
      return file(digest);
    },
    read: async (_call, digest, limit = limits.largestManifest) => {
      const found = await look(digest);
      if (found === null) throw missing(digest);
      if (found.size > limit)
        throw fail("ResourceExhausted", `${digest} is ${found.size} bytes long, more than ${limit}: that is no manifest`);
      const bytes = await readFile(file(digest));
      if (digestOf(createHash("sha256").update(bytes)) === digest) return bytes;
      await rm(file(digest), { force: true });
      throw fail("DataLoss", `the blob ${digest} is damaged on disk and was removed: pull the image again`);
    },
    offset: async (_call, digest) => (await stat(partial(digest)).catch(absent))?.size ?? 0,
    ingest: async (call, expected, from, bytes) => {
      const key = expected.digest;
      if (key === undefined || expected.apart === true) return take(call, expected, from, bytes);
      // Two pulls of the same layer: the second waits for the first, and downloads itself if the first fails.
      for (let running = busy.get(key); running !== undefined; running = busy.get(key)) {
        const done = await waitFor(call, running, pace, key);
        if (done) return done;
      }
      const { promise: done, resolve } = Promise.withResolvers<BlobInfo>();
      const mine: Storing = { done, received: 0 };
      busy.set(key, mine);
      resolve(
        take(call, expected, from, bytes, (size) => {
          mine.received += size;
        }).finally(() => busy.delete(key)),
      );
      return done;
    },
    follow: async (_call, digest) => {
      const size = arriving.get(digest);
      // The blob may have been completed in between.
      const handle = size === undefined ? null : await open(partial(digest), "r").catch(absent);
      if (size === undefined || handle === null) return null;
      // Its path goes through the descriptor, because its name changes when it is complete.
      const path = `/proc/${process.pid}/fd/${handle.fd}`;
      followed.set(path, handle);
      return { path, size };
    },
    unfollow: async (_call, path) => {
      const handle = followed.get(path);
      followed.delete(path);
      await handle?.close();
    },
    remove: (_call, digest) => rm(file(digest), { force: true }),
    list: async () => listBlobs(blobs, look),
    unfinished: async (_call, options) => {
      const found = { count: 0, bytes: 0 };
      for (const name of await readdir(ingest)) {
        const path = join(ingest, name);
        const left = writing.has(path) ? null : await stat(path).catch(absent);
        if (left === null) continue;
        found.count += 1;
        found.bytes += left.size;
        if (options?.drop === true) await rm(path, { force: true });
      }
      return found;
    },
  };
}

interface Expected {
  readonly digest?: Digest | undefined;
  readonly size?: number | undefined;
  readonly apart?: boolean | undefined;
}

/** Null: it failed. Fails when the call is canceled, and when the blob comes more slowly than `pace`. */
async function waitFor(call: Call, storing: Storing, pace: Pace, digest: Digest): Promise<BlobInfo | null> {
  const done = storing.done.catch(() => null);
  for (;;) {
    const before = storing.received;
    const waiting = new AbortController();
    const signal = AbortSignal.any([call.signal, waiting.signal]);
    const elapsed = pause(pace.milliseconds, "elapsed" as const, { signal }).catch(() => "canceled" as const);
    const first = await Promise.race([done, elapsed]);
    waiting.abort();
    call.signal.throwIfAborted();
    if (first === null || typeof first === "object") return first;
    if (storing.received - before < pace.bytes)
      throw fail("Unavailable", `another pull downloads ${digest} too slowly to wait for it: try again`, { reason: "content/slow" });
  }
}

async function* listBlobs(directory: string, look: (digest: Digest) => Promise<BlobInfo | null>): AsyncGenerator<BlobInfo> {
  for await (const entry of await opendir(directory)) {
    // Files with other names are no blobs and are skipped.
    const found = /^[0-9a-f]{64}$/.test(entry.name) ? await look(parseDigest(`sha256:${entry.name}`)) : null;
    if (found) yield found;
  }
}

/** Appends to the existing bytes and hashes all of them. A file with wrong content is removed; an interrupted one stays. */
async function receive(
  call: Call,
  path: string,
  from: number,
  bytes: AsyncIterable<Uint8Array>,
  expected: Expected,
  opened: () => void,
  received: (size: number) => void,
): Promise<BlobInfo> {
  const output = await open(path, from === 0 ? "w" : "r+", 0o600);
  let keep = expected.digest !== undefined && expected.apart !== true;
  let size = 0;
  try {
    const hash = createHash("sha256");
    size = await hashBefore(output, hash, from);
    if (size !== from) throw fail("FailedPrecondition", `the download can't go on at byte ${from}: there are ${size}`);
    opened();
    for await (const chunk of bytes) {
      call.signal.throwIfAborted();
      hash.update(chunk);
      await writeAll(output, chunk, size);
      size += chunk.length;
      received(chunk.length);
      if (expected.size !== undefined && size > expected.size) {
        keep = false;
        throw fail(
          "DataLoss",
          `${expected.digest ?? "the blob"} is longer than the ${expected.size} bytes it should have: the registry sends something else`,
        );
      }
    }
    received(Number.POSITIVE_INFINITY);
    if (expected.size !== undefined && size < expected.size)
      throw fail("Unavailable", `the download of ${expected.digest ?? "a blob"} broke off at byte ${size} of ${expected.size}`);
    const digest = digestOf(hash);
    if (expected.digest !== undefined && digest !== expected.digest) {
      keep = false;
      throw fail(
        "DataLoss",
        `what came for ${expected.digest} has the digest ${digest}: the registry or the way to it changes what it sends`,
      );
    }
    await output.truncate(size);
    await output.datasync();
    await output.close();
    return { digest, size };
  } catch (error) {
    await output.close().catch(() => {});
    if (!keep || size === 0) await rm(path, { force: true });
    throw outOfSpace(error, path);
  }
}

async function hashBefore(file: FileHandle, hash: Hash, until: number): Promise<number> {
  const buffer = Buffer.allocUnsafe(1 << 20);
  let at = 0;
  while (at < until) {
    const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, until - at), at);
    if (bytesRead === 0) break;
    hash.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
  return at;
}

async function writeAll(file: FileHandle, chunk: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < chunk.length; ) {
    const { bytesWritten } = await file.write(chunk, done, chunk.length - done, at + done);
    done += bytesWritten;
  }
}

function outOfSpace(error: unknown, path: string): Error {
  const code = systemCode(error);
  if (code === "ENOSPC" || code === "EDQUOT")
    return fail("ResourceExhausted", `no space left for ${path}: remove images that are not needed`, { path, cause: error });
  return asError(error);
}

const digestOf = (hash: Hash): Digest => `sha256:${hash.digest("hex")}` as Digest;

function absent(error: NodeJS.ErrnoException): null {
  if (error.code === "ENOENT") return null;
  throw error;
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
