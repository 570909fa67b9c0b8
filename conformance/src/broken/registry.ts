/** Registry drivers with one bug each, and the rule that must catch it. */
import { type Access, type Call, type Descriptor, type Digest, fail } from "@tsbox/kernel";
import { ReferenceRegistry } from "../reference/registry.ts";

type Names = ReadonlyMap<string, Descriptor>;
type Blobs = ReadonlyMap<string, Uint8Array>;

export interface BrokenRegistry {
  readonly bug: string;
  /** The rule that must catch it; others may fail too. */
  readonly rule: string;
  readonly open: (names: Names, blobs: Blobs) => ReferenceRegistry;
}

const broken = (bug: string, rule: string, driver: new (names: Names, blobs: Blobs) => ReferenceRegistry): BrokenRegistry => ({
  bug,
  rule,
  open: (names, blobs) => new driver(names, blobs),
});
type Stream = AsyncIterable<Uint8Array>;

export const brokenRegistries: readonly BrokenRegistry[] = [
  broken(
    "a download always begins at the first byte",
    "registry/range",
    class extends ReferenceRegistry {
      override fetch(call: Call, ref: string, blob: Descriptor, _from: number, access: Access): Promise<Stream> {
        return super.fetch(call, ref, blob, 0, access);
      }
    },
  ),
  broken(
    "a download that goes on leaves one byte out",
    "registry/range",
    class extends ReferenceRegistry {
      override fetch(call: Call, ref: string, blob: Descriptor, from: number, access: Access): Promise<Stream> {
        return super.fetch(call, ref, blob, from === 0 ? 0 : from + 1, access);
      }
    },
  ),
  broken(
    "a manifest's size is a guess",
    "registry/manifest",
    class extends ReferenceRegistry {
      override async resolve(call: Call, ref: string, access: Access): Promise<Descriptor> {
        return { ...(await super.resolve(call, ref, access)), size: 1000 };
      }
    },
  ),
  broken(
    "the digest has no algorithm",
    "registry/resolve",
    class extends ReferenceRegistry {
      override async resolve(call: Call, ref: string, access: Access): Promise<Descriptor> {
        const found = await super.resolve(call, ref, access);
        return { ...found, digest: found.digest.replace("sha256:", "") as Digest };
      }
      override fetch(call: Call, ref: string, blob: Descriptor, from: number, access: Access): Promise<Stream> {
        return super.fetch(call, ref, { ...blob, digest: `sha256:${blob.digest.replace("sha256:", "")}` as Digest }, from, access);
      }
    },
  ),
  broken(
    "an image that is not there is a wrong argument",
    "registry/ref-unknown",
    class extends ReferenceRegistry {
      override async resolve(call: Call, ref: string, access: Access): Promise<Descriptor> {
        return super.resolve(call, ref, access).catch((error: unknown) => {
          throw fail("InvalidArgument", String(error));
        });
      }
    },
  ),
  broken(
    "what is no ref is an image that is not there",
    "registry/ref-malformed",
    class extends ReferenceRegistry {
      override async resolve(call: Call, ref: string, access: Access): Promise<Descriptor> {
        return super.resolve(call, /^[a-z:0-9]+$/.test(ref) ? ref : "nosuch:1", access);
      }
    },
  ),
  broken(
    "a blob that is not there is empty",
    "registry/blob-unknown",
    class extends ReferenceRegistry {
      override async fetch(call: Call, ref: string, blob: Descriptor, from: number, access: Access): Promise<Stream> {
        return super.fetch(call, ref, blob, from, access).catch(async function* () {
          yield* [] as Uint8Array[];
        });
      }
    },
  ),
  broken(
    "the last piece of a blob is left out",
    "registry/blobs",
    class extends ReferenceRegistry {
      override async fetch(call: Call, ref: string, blob: Descriptor, from: number, access: Access): Promise<Stream> {
        const stream = await super.fetch(call, ref, blob, from, access);
        if (!blob.mediaType.includes("layer")) return stream;
        return (async function* () {
          let last: Uint8Array | null = null;
          for await (const piece of stream) {
            if (last !== null) yield last;
            last = piece;
          }
        })();
      }
    },
  ),
  broken(
    "readers of one blob share one stream",
    "registry/side-by-side",
    class extends ReferenceRegistry {
      readonly #open = new Map<string, Promise<Stream>>();
      override async fetch(call: Call, ref: string, blob: Descriptor, from: number, access: Access): Promise<Stream> {
        if (!blob.mediaType.includes("layer")) return super.fetch(call, ref, blob, from, access);
        const known = this.#open.get(blob.digest) ?? super.fetch(call, ref, blob, from, access);
        this.#open.set(blob.digest, known);
        return known;
      }
    },
  ),
  broken(
    "twenty downloads may begin, whether they end or not",
    "registry/abandoned",
    class extends ReferenceRegistry {
      #free = 20;
      override async fetch(call: Call, ref: string, blob: Descriptor, from: number, access: Access): Promise<Stream> {
        const stream = await super.fetch(call, ref, blob, from, access);
        if (!blob.mediaType.includes("layer")) return stream;
        if (this.#free === 0) throw fail("Unavailable", "too many downloads");
        this.#free -= 1;
        const done = (): void => {
          this.#free += 1;
        };
        return (async function* () {
          yield* stream;
          done();
        })();
      }
    },
  ),
  broken(
    "an image is another one each time",
    "registry/same-again",
    class extends ReferenceRegistry {
      #rounds = 0;
      override async resolve(call: Call, ref: string, access: Access): Promise<Descriptor> {
        const found = await super.resolve(call, ref, access);
        this.#rounds += 1;
        return { ...found, size: found.size + this.#rounds };
      }
    },
  ),
  broken(
    "it does not look at the call's signal",
    "registry/canceled",
    class extends ReferenceRegistry {
      override resolve(call: Call, ref: string, access: Access): Promise<Descriptor> {
        return super.resolve({ ...call, signal: new AbortController().signal }, ref, access);
      }
    },
  ),
  broken(
    "a download that has begun goes on to its end",
    "registry/canceled-midway",
    class extends ReferenceRegistry {
      override async fetch(call: Call, ref: string, blob: Descriptor, from: number, access: Access): Promise<Stream> {
        const stream = await super.fetch({ ...call, signal: new AbortController().signal }, ref, blob, from, access);
        return (async function* () {
          for await (const piece of stream) {
            yield piece;
            if (call.signal.aborted)
              await new Promise<never>((_, reject) => setTimeout(() => reject(fail("Unavailable", "too late")), 100));
          }
        })();
      }
    },
  ),
  broken(
    "an error says with which password",
    "registry/secrets",
    class extends ReferenceRegistry {
      override async resolve(call: Call, ref: string, access: Access): Promise<Descriptor> {
        return super.resolve(call, ref, access).catch((error: Error) => {
          throw fail("NotFound", `${error.message} (asked with ${JSON.stringify(access.credentials)})`);
        });
      }
    },
  ),
];
