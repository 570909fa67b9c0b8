/** The contract's verbs for one archive format: a reader turns an archive into an index and the places of its blobs. */
import { type Call, type Descriptor, fail, parseDigest, type RegistryDriver } from "@tsbox/kernel";
import type { Archives, OpenArchive } from "./internal/archives.ts";

/** The place of a blob: in memory, or a part of the tar. */
export type Place = Uint8Array | { readonly offset: number; readonly size: number };
export interface Contents {
  /** An index of all images in the archive. */
  readonly index: Descriptor;
  readonly blobs: ReadonlyMap<string, Place>;
}
/** `InvalidArgument`: the archive is not of this format. */
export type Reader = (call: Call, archive: OpenArchive) => Promise<Contents>;

const chunkSize = 1 << 20;

export function archiveDriver(archives: Archives, reader: Reader): RegistryDriver {
  const contents = new WeakMap<OpenArchive, Promise<Contents>>();
  const read = (call: Call, archive: OpenArchive): Promise<Contents> => {
    const known = contents.get(archive);
    if (known) return known;
    const fresh = reader(call, archive);
    contents.set(archive, fresh);
    fresh.catch(() => contents.delete(archive));
    return fresh;
  };
  return {
    powers: ["local", "archives"],
    resolve: async (call, ref) => {
      call.signal.throwIfAborted();
      const archive = await archives.open(call, ref);
      try {
        return (await read(call, archive)).index;
      } finally {
        archive.release();
      }
    },
    fetch: async (call, ref, blob, from) => {
      call.signal.throwIfAborted();
      const archive = await archives.open(call, ref);
      try {
        const place = (await read(call, archive)).blobs.get(parseDigest(blob.digest));
        if (place === undefined) throw fail("NotFound", `${ref} has no blob ${blob.digest}: the archive is incomplete, make it again`);
        return place instanceof Uint8Array ? once(place.subarray(from)) : bytesOf(call, archives, ref, place, from);
      } finally {
        archive.release();
      }
    },
  };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function* bytesOf(
  call: Call,
  archives: Archives,
  ref: string,
  { offset, size }: { readonly offset: number; readonly size: number },
  from: number,
): AsyncGenerator<Uint8Array> {
  const archive = await archives.open(call, ref);
  try {
    for (let at = from; at < size; ) {
      call.signal.throwIfAborted();
      const bytes = await archive.read(offset + at, Math.min(chunkSize, size - at));
      at += bytes.length;
      yield bytes;
    }
  } finally {
    archive.release();
  }
}
