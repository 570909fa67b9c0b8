/** The registry of the registry suite: a tar with one image, in the format of `docker save` or as an OCI layout. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { header, type RegistrySource, testImage } from "@tsbox/conformance";

const name = "app:1";

export async function registry(id: string, directory: string): Promise<RegistrySource> {
  const { manifest, config, layers, blobs } = testImage();
  const file = (digest: string): string => `blobs/${digest.replace(":", "/")}`;
  const members: (readonly [string, Buffer])[] = [...blobs].map(([digest, bytes]) => [file(digest), bytes]);
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  // What `docker save` writes today has both; each of the two drivers reads its own.
  members.push([
    "manifest.json",
    json([{ Config: file(config.digest), RepoTags: [name], Layers: layers.map(({ digest }) => file(digest)) }]),
  ]);
  const annotations = { "org.opencontainers.image.ref.name": name };
  members.push(["index.json", json({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] })]);
  members.push(["oci-layout", json({ imageLayoutVersion: "1.0.0" })]);
  const path = join(directory, `${id}.tar`);
  const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
  writeFileSync(
    path,
    Buffer.concat([...members.flatMap(([member, bytes]) => [header(member, bytes.length), padded(bytes)]), Buffer.alloc(1024)]),
  );
  const none = join(directory, "none.tar");
  writeFileSync(none, "this is no archive");
  return {
    ref: path,
    missing: join(directory, "missing.tar"),
    malformed: ["", "relative.tar", directory, none],
    access: { credentials: null, endpoints: [] },
    silence: null,
    resume: async () => undefined,
    close: async () => undefined,
  };
}
