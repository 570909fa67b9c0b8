/** `oci-archive`: an OCI image layout in a tar. Its index.json is the index. */
import { type Call, type Descriptor, fail, parseDigest } from "@tsbox/kernel";
import type { Contents, Place } from "./driver.ts";
import type { OpenArchive } from "./internal/archives.ts";
import { describe, indexType, parseJson, readMember } from "./internal/members.ts";

export async function ociArchive(_call: Call, archive: OpenArchive): Promise<Contents> {
  const bytes = await readMember(archive, "index.json");
  if (bytes === null) throw fail("InvalidArgument", `${archive.path} is no oci-archive: it has no index.json`);
  const { manifests } = (parseJson(archive, "index.json", bytes) ?? {}) as { readonly manifests?: readonly Descriptor[] };
  if (!Array.isArray(manifests) || manifests.length === 0)
    throw fail("DataLoss", `index.json in ${archive.path} lists no manifests: make the archive again`);
  const index = describe(indexType, bytes);
  const blobs = new Map<string, Place>([[index.digest, bytes]]);
  for (const [name, member] of archive.members) {
    const hex = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(name)?.[1];
    if (hex !== undefined) blobs.set(parseDigest(`sha256:${hex}`), member);
  }
  return { index, blobs };
}
