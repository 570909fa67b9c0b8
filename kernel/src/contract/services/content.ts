/**
 * The content store: blobs by digest under the engine's root, verified, fsynced, then renamed into sight. It alone verifies what registries
 * send. A download that broke is kept by its digest and goes on where it stopped, by this daemon or its successor.
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
  /** Null: not there. */
  stat(call: Call, digest: Digest): Promise<BlobInfo | null>;
  /** The blob's file, to be read only. `NotFound`. */
  path(call: Call, digest: Digest): Promise<string>;
  /**
   * A small blob (manifest, config) whole. `NotFound`; `ResourceExhausted` above `limit` bytes (default 8 MiB); `DataLoss` when what is on
   * disk is not what it should be.
   */
  read(call: Call, digest: Digest, limit?: number): Promise<Uint8Array>;
  /** Bytes of a broken download of this digest that are there already. */
  offset(call: Call, digest: Digest): Promise<number>;
  /**
   * Takes a blob from byte `from` on (0, or what `offset` said). `digest` null: whatever it is; its digest is the answer. `DataLoss` when
   * digest or size are not what was promised: then nothing of it is kept. When the stream breaks, what has come is kept. A blob that is
   * there already is not read.
   */
  ingest(call: Call, expected: Sparse<{ digest: Digest; size: number }>, from: number, bytes: AsyncIterable<Uint8Array>): Promise<BlobInfo>;
  /**
   * Lends a blob that an `ingest` is bringing, unverified as it is, to who wants to begin before all of it is there. Null: nobody brings
   * it, or it is whole. `path` stays readable, and goes on growing to `size` bytes, until `unfollow`; a blob that turns out to be something
   * else stops growing.
   */
  follow(call: Call, digest: Digest): Promise<Following | null>;
  /** No error where it is gone already. */
  unfollow(call: Call, path: string): Promise<void>;
  /** No error where it is gone already. */
  remove(call: Call, digest: Digest): Promise<void>;
  list(call: Call): Promise<AsyncIterable<BlobInfo>>;
  /**
   * Bytes of downloads that broke off and that no `ingest` goes on with. They go with `drop`, or at a start of the engine when they are
   * old.
   */
  unfinished(call: Call, options?: Sparse<{ drop: boolean }>): Promise<{ readonly count: number; readonly bytes: number }>;
}

declare module "../plugin.ts" {
  interface Services {
    content: ContentService;
  }
}
