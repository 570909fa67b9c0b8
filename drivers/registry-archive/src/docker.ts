/**
 * `docker-archive`: the archives of `docker save`. manifest.json lists the images; an OCI manifest is made here for each. The digest of a
 * layer that is a plain tar is taken from the diff ids of the image's config, without reading the layer; the content store verifies it.
 */
import { createHash } from "node:crypto";
import { type Call, type Descriptor, type Digest, fail, limits, parseDigest } from "@tsbox/kernel";
import type { Contents, Place } from "./driver.ts";
import type { OpenArchive } from "./internal/archives.ts";
import { describe, indexType, json, manifestType, parseJson, readMember } from "./internal/members.ts";
import type { Member } from "./internal/tar.ts";

interface Entry {
  readonly config: string;
  readonly tags: readonly string[];
  readonly layers: readonly string[];
}

const chunkSize = 1 << 20;

export async function dockerArchive(call: Call, archive: OpenArchive): Promise<Contents> {
  const bytes = await readMember(archive, "manifest.json");
  if (bytes === null)
    throw fail("InvalidArgument", `${archive.path} is no image archive as \`docker save\` makes it: it has no manifest.json`);
  const list = parseJson(archive, "manifest.json", bytes);
  if (!Array.isArray(list) || list.length === 0)
    throw fail("DataLoss", `manifest.json in ${archive.path} lists no images: make the archive again`);
  const blobs = new Map<string, Place>();
  const manifests: Descriptor[] = [];
  if (list.length > limits.mostManifests)
    throw fail("InvalidArgument", `manifest.json in ${archive.path} lists more than ${limits.mostManifests} images`);
  for (const item of list) manifests.push(await image(call, archive, parseEntry(archive, item), blobs));
  const index = json({ schemaVersion: 2, mediaType: indexType, manifests });
  const descriptor = describe(indexType, index);
  blobs.set(descriptor.digest, index);
  return { index: descriptor, blobs };
}

function parseEntry(archive: OpenArchive, item: unknown): Entry {
  const { Config: config, RepoTags: tags, Layers: layers } = (item ?? {}) as Readonly<Record<string, unknown>>;
  const names = (value: unknown): value is readonly string[] => Array.isArray(value) && value.every((one) => typeof one === "string");
  if (
    typeof config !== "string" ||
    !names(layers) ||
    layers.length > limits.mostLayers ||
    !(tags === null || tags === undefined || names(tags))
  )
    throw fail(
      "DataLoss",
      `manifest.json in ${archive.path} has an image without Config or Layers, or with more than ${limits.mostLayers}: make the archive again`,
    );
  return { config, tags: tags ?? [], layers };
}

/** Answers the descriptor of the manifest that it makes. */
async function image(
  call: Call,
  archive: OpenArchive,
  { config: configName, tags, layers }: Entry,
  blobs: Map<string, Place>,
): Promise<Descriptor> {
  const bytes = await readMember(archive, configName);
  if (bytes === null) throw missing(archive, configName);
  const config = describe("application/vnd.oci.image.config.v1+json", bytes);
  blobs.set(config.digest, bytes);
  const parsed = (parseJson(archive, configName, bytes) ?? {}) as {
    readonly os?: unknown;
    readonly architecture?: unknown;
    readonly variant?: unknown;
    readonly rootfs?: { readonly diff_ids?: unknown } | null;
  };
  const found = parsed.rootfs?.diff_ids;
  const diffIds: readonly unknown[] = Array.isArray(found) ? found : [];
  const descriptors: Descriptor[] = [];
  for (const [at, name] of layers.entries()) {
    const member = archive.members.get(name);
    if (member === undefined) throw missing(archive, name);
    const layer = await describeLayer(call, archive, member, diffIds[at]);
    blobs.set(layer.digest, member);
    descriptors.push(layer);
  }
  const manifest = json({ schemaVersion: 2, mediaType: manifestType, config, layers: descriptors });
  const descriptor = describe(manifestType, manifest);
  blobs.set(descriptor.digest, manifest);
  return {
    ...descriptor,
    platform: {
      // The code that reads the image's config checks it.
      os: typeof parsed.os === "string" ? parsed.os : "linux",
      architecture: typeof parsed.architecture === "string" ? parsed.architecture : "",
      ...(typeof parsed.variant === "string" && parsed.variant !== "" ? { variant: parsed.variant } : {}),
    },
    annotations: { "io.containerd.image.name": tags.join(",") },
  };
}

const missing = (archive: OpenArchive, name: string): Error =>
  fail(
    "DataLoss",
    `${archive.path} has no ${JSON.stringify(name)}, which its manifest.json names: the archive is incomplete, make it again`,
  );

async function describeLayer(call: Call, archive: OpenArchive, member: Member, diffId: unknown): Promise<Descriptor> {
  const magic = (await archive.read(member.offset, Math.min(4, member.size))).toString("hex");
  const compression = magic.startsWith("1f8b") ? "+gzip" : magic === "28b52ffd" ? "+zstd" : "";
  const plain = compression === "" && typeof diffId === "string" && /^sha256:[0-9a-f]{64}$/.test(diffId);
  const digest = plain ? parseDigest(diffId) : await hash(call, archive, member);
  return { mediaType: `application/vnd.oci.image.layer.v1.tar${compression}`, digest, size: member.size };
}

async function hash(call: Call, archive: OpenArchive, { offset, size }: Member): Promise<Digest> {
  const sum = createHash("sha256");
  for (let at = 0; at < size; at += chunkSize) {
    call.signal.throwIfAborted();
    sum.update(await archive.read(offset + at, Math.min(chunkSize, size - at)));
  }
  return `sha256:${sum.digest("hex")}` as Digest;
}
