/**
 * The content store: blobs by digest under the engine's root, verified, fsynced, then renamed into place. It alone verifies the data of
 * registries. An interrupted download is kept by its digest and continues where it stopped, in this daemon or the next one.
 */
import type { Call } from "../call.ts";
import type { Digest, Sparse } from "../words.ts";

export interface BlobInfo {
  readonly digest: Digest;
  readonly size: number;
}

export interface Following {
  readonly path: string;
  readonly size: number;
}

export interface ContentService {
  /** Null: there is no such blob. */
  stat(call: Call, digest: Digest): Promise<BlobInfo | null>;
  /** The path of the blob's file, for reading only. `NotFound`. */
  path(call: Call, digest: Digest): Promise<string>;
  /**
   * Reads a small blob (manifest, config) as a whole. `NotFound`; `ResourceExhausted` above `limit` bytes (default 8 MiB); `DataLoss` if
   * the bytes on disk do not have the digest.
   */
  read(call: Call, digest: Digest, limit?: number): Promise<Uint8Array>;
  /** The bytes that an interrupted download of this digest already has. */
  offset(call: Call, digest: Digest): Promise<number>;
  /**
   * Stores a blob from byte `from` on (0, or the answer of `offset`). `digest` null: any blob; the answer has its digest. `DataLoss`:
   * digest or size differ from the expected; then nothing is kept. If the stream fails, the bytes so far are kept. If the blob exists
   * already, the stream is not read. If another call stores the same blob at this time, this one waits for it. `Unavailable` with the
   * reason `content/slow`: the other one is too slow to wait for; ask again with `apart`, from byte 0, and both store it.
   */
  ingest(
    call: Call,
    expected: Sparse<{ digest: Digest; size: number; apart: boolean }>,
    from: number,
    bytes: AsyncIterable<Uint8Array>,
  ): Promise<BlobInfo>;
  /**
   * Answers the file of a blob that an `ingest` is writing, unverified, for a reader that begins before it is complete. Null: no ingest is
   * running, or the blob is complete. `path` stays readable, and grows to `size` bytes, until `unfollow`; if the blob turns out to be
   * something else, it stops growing.
   */
  follow(call: Call, digest: Digest): Promise<Following | null>;
  /** A path that is gone already is not an error. */
  unfollow(call: Call, path: string): Promise<void>;
  /** A blob that is gone already is not an error. */
  remove(call: Call, digest: Digest): Promise<void>;
  list(call: Call): Promise<AsyncIterable<BlobInfo>>;
  /** The interrupted downloads that no `ingest` continues. `drop` removes them; old ones are removed at a start of the engine. */
  unfinished(call: Call, options?: Sparse<{ drop: boolean }>): Promise<{ readonly count: number; readonly bytes: number }>;
}

declare module "../plugin.ts" {
  interface Services {
    content: ContentService;
  }
}
