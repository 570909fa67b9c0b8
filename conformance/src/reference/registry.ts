/** The shortest implementation of the registry contract, in memory: manifests by name, and bytes by digest. */
import { createHash } from "node:crypto";
import { type Access, type Call, createCall, type Descriptor, type Digest, fail, type RegistryDriver, silentLog } from "@tsbox/kernel";
import type { RegistryWorld } from "../registry/world.ts";

export class ReferenceRegistry implements RegistryDriver {
  readonly powers: readonly [] = [];
  readonly #names: ReadonlyMap<string, Descriptor>;
  readonly #blobs: ReadonlyMap<string, Uint8Array>;

  constructor(names: ReadonlyMap<string, Descriptor>, blobs: ReadonlyMap<string, Uint8Array>) {
    this.#names = names;
    this.#blobs = blobs;
  }

  async resolve(call: Call, ref: string, _access: Access): Promise<Descriptor> {
    call.signal.throwIfAborted();
    if (!/^[a-z]+:[a-z0-9]+$/.test(ref)) throw fail("InvalidArgument", `${JSON.stringify(ref)} is no reference: give NAME:TAG`);
    const found = this.#names.get(ref);
    if (found === undefined) throw fail("NotFound", `no image ${ref} here: look at its name`);
    return found;
  }

  async fetch(call: Call, ref: string, { digest }: Descriptor, from: number, _access: Access): Promise<AsyncIterable<Uint8Array>> {
    call.signal.throwIfAborted();
    const bytes = this.#blobs.get(digest);
    if (bytes === undefined) throw fail("NotFound", `${ref} has no blob ${digest}`);
    return pieces(call, bytes.subarray(from));
  }
}

async function* pieces(call: Call, bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceLength) {
    call.signal.throwIfAborted();
    yield bytes.subarray(at, at + pieceLength);
  }
}
const pieceLength = 64 << 10;

/** The world of an image `app:1` in memory. */
export async function makeMemoryRegistry(
  open: (names: ReadonlyMap<string, Descriptor>, blobs: ReadonlyMap<string, Uint8Array>) => RegistryDriver,
): Promise<RegistryWorld> {
  const blobs = new Map<string, Uint8Array>();
  const keep = (mediaType: string, bytes: Uint8Array): Descriptor => {
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest;
    blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const layer = keep("application/vnd.oci.image.layer.v1.tar", Buffer.from(Array.from({ length: 1_500_000 }, (_, at) => at % 251)));
  const config = keep("application/vnd.oci.image.config.v1+json", Buffer.from("{}"));
  const manifest = keep("application/vnd.oci.image.manifest.v1+json", Buffer.from(JSON.stringify({ config, layers: [layer] })));
  const names = new Map([["app:1", manifest]]);
  let driver = open(names, blobs);
  return {
    get driver() {
      return driver;
    },
    get powers() {
      return driver.powers;
    },
    call: createCall(silentLog),
    source: {
      ref: "app:1",
      missing: "nosuch:1",
      malformed: ["", "APP", "a b:1"],
      access: { credentials: null, endpoints: [] },
      silence: null,
      resume: async () => undefined,
      close: async () => undefined,
    },
    crash: async () => {
      driver = open(names, blobs);
    },
    close: async () => undefined,
  };
}
