/** An image for registries of tests: its blobs by digest. */
import { createHash } from "node:crypto";
import type { Descriptor, Digest } from "@tsbox/kernel";

export interface TestImage {
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly blobs: ReadonlyMap<Digest, Buffer>;
}

/** Its layers are an empty one and one of three megabytes, which is a tar of one file. */
export function testImage(): TestImage {
  const blobs = new Map<Digest, Buffer>();
  const keep = (mediaType: string, bytes: Buffer): Descriptor => {
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest;
    blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const content = Buffer.concat(Array.from({ length: 98_304 }, (_, at) => createHash("sha256").update(String(at)).digest()));
  const layers = [Buffer.alloc(1024), Buffer.concat([header("file", content.length), content, Buffer.alloc(1024)])].map((bytes) =>
    keep("application/vnd.oci.image.layer.v1.tar", bytes),
  );
  const config = keep(
    "application/vnd.oci.image.config.v1+json",
    json({ architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: layers.map(({ digest }) => digest) } }),
  );
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  return { manifest: keep(mediaType, json({ schemaVersion: 2, mediaType, config, layers })), config, layers, blobs };
}

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

/** The header of a tar's member: a regular file. */
export function header(name: string, size: number): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0, 100);
  block.write("0000644\0", 100);
  block.write("0000000\0", 108);
  block.write("0000000\0", 116);
  block.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
  block.write("00000000000\0", 136);
  block.write("        0", 148);
  block.write("ustar\x0000", 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}
