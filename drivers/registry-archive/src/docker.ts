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
  if (list.length > limits.mostManifests)
    throw fail("DataLoss", `manifest.json in ${archive.path} lists more than ${limits.mostManifests} images`);
  const entries = list.map((item) => parseEntry(archive, item));
  if (entries.reduce((sum, { layers }) => sum + layers.length, 0) > limits.mostMembers)
    throw fail("DataLoss", `manifest.json in ${archive.path} names more than ${limits.mostMembers} layers`);
  const maker = new Maker(call, archive);
  const manifests: Descriptor[] = [];
  for (const entry of entries) manifests.push(await maker.manifest(entry));
  const index = json({ schemaVersion: 2, mediaType: indexType, manifests });
  const descriptor = describe(indexType, index);
  maker.blobs.set(descriptor.digest, index);
  return { index: descriptor, blobs: maker.blobs };
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

/** What a manifest needs of an image's config. */
interface Config {
  readonly blob: Descriptor;
  readonly platform: NonNullable<Descriptor["platform"]>;
  readonly diffIds: readonly unknown[];
}

/** Makes the manifests. Each file of the archive is read once, however many images name it, and none is kept in memory. */
class Maker {
  readonly blobs: Map<string, Place> = new Map();
  readonly #call: Call;
  readonly #archive: OpenArchive;
  readonly #configs: Map<Member, Config> = new Map();
  /** The digests of layers that had to be hashed. */
  readonly #hashes: Map<Member, Digest> = new Map();
  #configBytes = 0;

  constructor(call: Call, archive: OpenArchive) {
    this.#call = call;
    this.#archive = archive;
  }

  /** Answers the descriptor of the manifest that it makes. */
  async manifest({ config: configName, tags, layers }: Entry): Promise<Descriptor> {
    const config = await this.#config(configName);
    const descriptors: Descriptor[] = [];
    for (const [at, name] of layers.entries()) {
      const member = this.#member(name);
      const layer = await this.#layer(member, config.diffIds[at]);
      this.blobs.set(layer.digest, member);
      descriptors.push(layer);
    }
    const manifest = json({ schemaVersion: 2, mediaType: manifestType, config: config.blob, layers: descriptors });
    const descriptor = describe(manifestType, manifest);
    this.blobs.set(descriptor.digest, manifest);
    return { ...descriptor, platform: config.platform, annotations: { "io.containerd.image.name": tags.join(",") } };
  }

  #member(name: string): Member {
    const member = this.#archive.members.get(name);
    if (member !== undefined) return member;
    throw fail(
      "DataLoss",
      `${this.#archive.path} has no ${JSON.stringify(name)}, which its manifest.json names: the archive is incomplete, make it again`,
    );
  }

  async #config(name: string): Promise<Config> {
    this.#call.signal.throwIfAborted();
    const member = this.#member(name);
    const known = this.#configs.get(member);
    if (known !== undefined) return known;
    this.#configBytes += member.size;
    if (this.#configBytes > limits.largestMemory)
      throw fail("DataLoss", `the configs in ${this.#archive.path} have more than ${limits.largestMemory} bytes: that is no image archive`);
    const bytes = (await readMember(this.#archive, name)) ?? Buffer.alloc(0);
    const blob = describe("application/vnd.oci.image.config.v1+json", bytes);
    const parsed = (parseJson(this.#archive, name, bytes) ?? {}) as Readonly<Record<string, unknown>>;
    const { os, architecture, variant } = parsed;
    const diffIds = (parsed.rootfs as { readonly diff_ids?: unknown } | null | undefined)?.diff_ids;
    const config: Config = {
      blob,
      // The code that reads the image's config checks these.
      platform: {
        os: typeof os === "string" ? os : "linux",
        architecture: typeof architecture === "string" ? architecture : "",
        ...(typeof variant === "string" && variant !== "" ? { variant } : {}),
      },
      diffIds: Array.isArray(diffIds) ? diffIds : [],
    };
    this.blobs.set(blob.digest, member);
    this.#configs.set(member, config);
    return config;
  }

  async #layer(member: Member, diffId: unknown): Promise<Descriptor> {
    const magic = (await this.#archive.read(member.offset, Math.min(4, member.size))).toString("hex");
    const compression = magic.startsWith("1f8b") ? "+gzip" : magic === "28b52ffd" ? "+zstd" : "";
    const plain = compression === "" && typeof diffId === "string" && /^sha256:[0-9a-f]{64}$/.test(diffId);
    const digest = plain ? parseDigest(diffId) : await this.#hash(member);
    return { mediaType: `application/vnd.oci.image.layer.v1.tar${compression}`, digest, size: member.size };
  }

  async #hash(member: Member): Promise<Digest> {
    const known = this.#hashes.get(member);
    if (known !== undefined) return known;
    const sum = createHash("sha256");
    for (let at = 0; at < member.size; at += chunkSize) {
      this.#call.signal.throwIfAborted();
      sum.update(await this.#archive.read(member.offset + at, Math.min(chunkSize, member.size - at)));
    }
    const digest = `sha256:${sum.digest("hex")}` as Digest;
    this.#hashes.set(member, digest);
    return digest;
  }
}
