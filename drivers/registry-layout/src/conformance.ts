/** The registry of the registry suite: an OCI image layout with two images. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type RegistrySource, testImage } from "@tsbox/conformance";

export async function registry(_id: string, directory: string): Promise<RegistrySource> {
  const { manifest, blobs } = testImage();
  mkdirSync(join(directory, "blobs/sha256"), { recursive: true });
  for (const [digest, bytes] of blobs) writeFileSync(join(directory, "blobs", digest.replace(":", "/")), bytes);
  const manifests = ["1", "other"].map((name) => ({ ...manifest, annotations: { "org.opencontainers.image.ref.name": name } }));
  writeFileSync(join(directory, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
  writeFileSync(join(directory, "oci-layout"), '{"imageLayoutVersion": "1.0.0"}');
  return {
    ref: `${directory}:1`,
    missing: `${directory}:2`,
    malformed: ["", "relative:1", directory],
    access: { credentials: null, endpoints: [] },
    silence: null,
    resume: async () => undefined,
    close: async () => undefined,
  };
}
