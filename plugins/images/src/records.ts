/** Images and their names, kept by the state service: table `images` by id, table `tags` by full reference. */
import {
  type Call,
  type Descriptor,
  type Digest,
  fail,
  type Image,
  type ImageConfig,
  type Platform,
  type StateChange,
  type StateService,
} from "@tsbox/kernel";
import { isDockers } from "./place.ts";
import { familiar, familiarName, full, parseReference, type Reference } from "./reference.ts";

export interface ImageRecord {
  readonly id: Digest;
  readonly manifest: Descriptor;
  readonly platform: Platform;
  readonly createdAt: number;
  readonly size: number;
  readonly config: ImageConfig;
  readonly rawConfig: Digest;
  readonly diffIds: readonly Digest[];
  readonly layers: readonly Descriptor[];
  /** The adopted directory below the layers (`host:/`). */
  readonly adopted: string | null;
  /** Older records lack it. */
  readonly parent?: Digest | null;
}
/** The blobs of an image. */
export const blobsOf = (image: ImageRecord): readonly Digest[] => [
  image.rawConfig,
  image.manifest.digest,
  ...image.layers.map(({ digest }) => digest),
];

/** The image of a name. `digest`: the index or manifest that the name was resolved to; null: the name was given on this host. */
export interface TagRecord {
  readonly image: Digest;
  readonly digest: Digest | null;
}

export class ImageRecords {
  readonly #state: StateService;
  readonly #images: Map<Digest, ImageRecord> = new Map();
  /** By full reference, or by the full text for another transport. */
  readonly #tags: Map<string, TagRecord> = new Map();

  constructor(state: StateService) {
    this.#state = state;
  }

  async load(call: Call): Promise<void> {
    for (const [id, record] of await this.#state.list(call, "images")) this.#images.set(id as Digest, record as ImageRecord);
    for (const [name, record] of await this.#state.list(call, "tags")) this.#tags.set(name, record as TagRecord);
  }

  /** From now on, sweeps may remove what the restored copy of the records does not know. */
  acceptRestored(call: Call): Promise<void> {
    return this.#state.acceptRestored(call);
  }

  all(): readonly ImageRecord[] {
    return [...this.#images.values()];
  }

  byId(id: Digest): ImageRecord {
    const found = this.#images.get(id);
    if (found === undefined) throw fail("NotFound", `No such image: ${id}`);
    return found;
  }

  /** Null: there is no such image. */
  known(id: Digest): ImageRecord | null {
    return this.#images.get(id) ?? null;
  }

  names(): readonly string[] {
    return [...this.#tags.keys()];
  }

  tag(name: string): TagRecord | null {
    return this.#tags.get(name) ?? null;
  }

  /** The names of an image. */
  namesOf(id: Digest): readonly string[] {
    return [...this.#tags].filter(([, tag]) => tag.image === id).map(([name]) => name);
  }

  /** By reference, id, or prefix of an id. */
  find(text: string): { readonly record: ImageRecord; readonly name: string | null } {
    const other = this.#tags.get(text);
    if (other) return { record: this.byId(other.image), name: text };
    const hex = /^(?:sha256:)?([0-9a-f]{2,64})$/.exec(text)?.[1];
    if (hex !== undefined) {
      const matches = this.all().filter((record) => record.id.startsWith(`sha256:${hex}`));
      if (matches.length > 1 && !this.#tags.has(full(parseReference(text))))
        throw fail("Conflict", `multiple images found with provided prefix: ${text}; give more of it`);
      if (matches[0] && (text.startsWith("sha256:") || !this.#tags.has(full(parseReference(text)))))
        return { record: matches[0], name: null };
    }
    const reference = text.startsWith("sha256:") ? null : parseReference(text);
    const found = reference === null ? null : this.#byReference(reference);
    if (found) return found;
    throw fail("NotFound", `No such image: ${reference === null ? text : familiar(reference)}`);
  }

  #byReference(reference: Reference): { readonly record: ImageRecord; readonly name: string } | null {
    const exact = this.#tags.get(full(reference));
    if (exact) return { record: this.byId(exact.image), name: full(reference) };
    if (reference.digest === null) return null;
    // By digest: a name in that repository that was resolved to the digest.
    const prefix = `${reference.host}/${reference.repository}`;
    for (const [name, tag] of this.#tags)
      if (tag.digest === reference.digest && (name.startsWith(`${prefix}:`) || name.startsWith(`${prefix}@`)))
        return { record: this.byId(tag.image), name };
    return null;
  }

  /** Writes the image and its names in one transaction. */
  async keep(call: Call, record: ImageRecord, names: readonly string[], digest: Digest | null): Promise<void> {
    const tags = names.map((name): readonly [string, TagRecord] => [name, { image: record.id, digest }]);
    await this.#state.write(call, [
      { table: "images", key: record.id, value: record },
      ...tags.map(([key, value]): StateChange => ({ table: "tags", key, value })),
    ]);
    this.#images.set(record.id, record);
    for (const [name, tag] of tags) this.#tags.set(name, tag);
  }

  /** Removes names, and with them the image if `image` is given. */
  async drop(call: Call, names: readonly string[], image: Digest | null): Promise<void> {
    await this.#state.write(call, [
      ...names.map((key): StateChange => ({ table: "tags", key, value: null })),
      ...(image === null ? [] : [{ table: "images", key: image, value: null } satisfies StateChange]),
    ]);
    for (const name of names) this.#tags.delete(name);
    if (image !== null) this.#images.delete(image);
  }

  /** The image in the form of the contract. */
  show(record: ImageRecord): Image {
    const names = this.namesOf(record.id);
    const references = names.filter(isDockers).map((name) => parseReference(name));
    const digestOf = (name: string): readonly string[] => {
      const digest = this.#tags.get(name)?.digest;
      return digest ? [`${familiarName(parseReference(name))}@${digest}`] : [];
    };
    return {
      id: record.id,
      tags: [
        ...references.filter((reference) => reference.tag !== null).map((reference) => familiar({ ...reference, digest: null })),
        ...names.filter((name) => !isDockers(name)),
      ],
      digests: [...new Set(names.filter(isDockers).flatMap(digestOf))],
      manifest: record.manifest,
      platform: record.platform,
      createdAt: record.createdAt,
      size: record.size,
      config: record.config,
      rawConfig: record.rawConfig,
      diffIds: record.diffIds,
      adopted: record.adopted,
      parent: record.parent ?? null,
    };
  }
}
