/** Reads small files of an archive, and makes descriptors. */
import { createHash } from "node:crypto";
import { type Descriptor, type Digest, fail, limits } from "@tsbox/kernel";
import type { OpenArchive } from "./archives.ts";

export const indexType = "application/vnd.oci.image.index.v1+json";
export const manifestType = "application/vnd.oci.image.manifest.v1+json";

/** Null: there is no such file. */
export async function readMember(archive: OpenArchive, name: string): Promise<Buffer | null> {
  const member = archive.members.get(name);
  if (member === undefined) return null;
  if (member.size > limits.largestManifest)
    throw fail(
      "DataLoss",
      `${name} in ${archive.path} is ${member.size} bytes long, more than ${limits.largestManifest}: that is no image archive`,
    );
  return archive.read(member.offset, member.size);
}

export function parseJson(archive: OpenArchive, name: string, bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString());
  } catch {
    throw fail("DataLoss", `${name} in ${archive.path} is not JSON: make the archive again`);
  }
}

export const digestOf = (bytes: Uint8Array): Digest => `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest;
export const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
export const describe = (mediaType: string, bytes: Uint8Array): Descriptor => ({ mediaType, digest: digestOf(bytes), size: bytes.length });
