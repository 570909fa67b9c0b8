/** The shortest implementation of the registry contract, in memory: manifests by name, and bytes by digest. */
import { type Access, type Call, type Descriptor, fail, type RegistryDriver } from "@tsbox/kernel";
import { streamOf } from "./storage.ts";

export class ReferenceRegistry implements RegistryDriver {
  readonly powers: readonly [] = [];
  readonly #names: ReadonlyMap<string, Descriptor>;
  readonly #blobs: ReadonlyMap<string, Uint8Array>;

  constructor(names: ReadonlyMap<string, Descriptor>, blobs: ReadonlyMap<string, Uint8Array>) {
    this.#names = names;
    this.#blobs = blobs;
  }

  async resolve(_call: Call, ref: string, _access: Access): Promise<Descriptor> {
    const found = this.#names.get(ref);
    if (found === undefined) throw fail("NotFound", `no image ${ref} here: look at its name`);
    return found;
  }

  async fetch(_call: Call, ref: string, { digest }: Descriptor, from: number, _access: Access): Promise<AsyncIterable<Uint8Array>> {
    const bytes = this.#blobs.get(digest);
    if (bytes === undefined) throw fail("NotFound", `${ref} has no blob ${digest}`);
    return streamOf([bytes.subarray(from)]);
  }
}
