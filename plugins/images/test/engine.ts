/**
 * An engine whose parts the tests can inspect: the real content store and records, a storage driver in memory, a registry that the test
 * fills.
 */
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { watch } from "node:fs/promises";
import { gunzipSync } from "node:zlib";
import { type Case, temporaryDirectory } from "@tsbox/harness";
import {
  type Access,
  type ActiveKey,
  type Call,
  type ContentService,
  createCall,
  type Descriptor,
  type Digest,
  type EngineEvent,
  fail,
  type HostToolkit,
  type ImagesService,
  type LayerFile,
  type PullProgress,
  type RegistryDriver,
  type RegistryPowers,
  type Snapshot,
  type SnapshotName,
  type StateChange,
  type StateService,
  type StorageDriver,
  type StoragePowers,
  silentLog,
} from "@tsbox/kernel";
import { Leases } from "../src/engine.ts";
import { ImageRecords } from "../src/records.ts";
import { imagesService } from "../src/service.ts";
import { contentStore } from "./content-store.ts";

export const call: Call = createCall(silentLog);
export const digestOf = (bytes: Uint8Array): Digest => `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest;

/** The storage contract as far as images use it: a snapshot is the list of layers that were applied. */
export class MemoryStorage implements Pick<StorageDriver, "prepare" | "commit" | "remove" | "stat" | "usage" | "list"> {
  readonly powers: readonly (keyof StoragePowers)[] = ["apply", "adopt"];
  readonly snapshots: Map<string, { readonly parent: string | null; readonly layers: string[]; committed: boolean }> = new Map();
  /** The layer of each `apply`. */
  readonly applied: string[] = [];

  async prepare(_call: Call, key: ActiveKey, parent: SnapshotName | null): Promise<readonly []> {
    const below = parent === null ? [] : this.#get(parent).layers;
    this.snapshots.set(key, { parent, layers: [...below], committed: false });
    return [];
  }
  async apply(_call: Call, key: ActiveKey, file: LayerFile): Promise<{ diffId: Digest; digest: Digest; size: number }> {
    const bytes = readFileSync(file.path);
    const plain = file.mediaType.endsWith("gzip") ? gunzipSync(bytes) : bytes;
    this.#get(key).layers.push(plain.toString());
    this.applied.push(plain.toString());
    return { diffId: digestOf(plain), digest: digestOf(bytes), size: bytes.length };
  }
  async adopt(_call: Call, name: SnapshotName, directory: string): Promise<void> {
    this.snapshots.set(name, { parent: null, layers: [directory], committed: true });
  }
  async commit(_call: Call, name: SnapshotName, key: ActiveKey): Promise<void> {
    if (this.snapshots.has(name)) throw fail("AlreadyExists", name);
    this.snapshots.set(name, { ...this.#get(key), committed: true });
    this.snapshots.delete(key);
  }
  async remove(_call: Call, key: string): Promise<void> {
    this.#get(key);
    if ([...this.snapshots.values()].some(({ parent }) => parent === key)) throw fail("FailedPrecondition", `${key} has children`);
    this.snapshots.delete(key);
  }
  async stat(_call: Call, key: string): Promise<{ kind: "committed"; key: SnapshotName; parent: SnapshotName | null; createdAt: number }> {
    const { parent } = this.#get(key);
    return { kind: "committed", key: key as SnapshotName, parent: parent as SnapshotName | null, createdAt: 0 };
  }
  async list(): Promise<AsyncIterable<Snapshot>> {
    const all = [...this.snapshots].map(
      ([key, { parent, committed }]) => ({ kind: committed ? "committed" : "active", key, parent, createdAt: 0 }) as Snapshot,
    );
    return (async function* () {
      yield* all;
    })();
  }
  async usage(_call: Call, key: string): Promise<{ bytes: number; inodes: number }> {
    return { bytes: this.#get(key).layers.at(-1)?.length ?? 0, inodes: 1 };
  }
  #get(key: string): { readonly parent: string | null; readonly layers: string[]; committed: boolean } {
    const found = this.snapshots.get(key);
    if (found === undefined) throw fail("NotFound", `no snapshot ${key}`);
    return found;
  }
}

/** A driver that accepts layers that are still being downloaded. */
export class FollowingStorage extends MemoryStorage {
  override readonly powers: readonly (keyof StoragePowers)[] = ["apply", "follow", "adopt"];
  /** The bytes that had arrived at each `apply` of an incomplete layer. */
  readonly early: string[] = [];
  #begun: () => void = () => {};
  /** Resolves at the next such `apply`. */
  readonly begins: () => Promise<void> = () => new Promise((resolve) => (this.#begun = resolve));

  override async apply(call: Call, key: ActiveKey, file: LayerFile): Promise<{ diffId: Digest; digest: Digest; size: number }> {
    if (file.growingTo !== undefined) {
      const watched = watch(file.path, { signal: call.signal });
      const grows = watched[Symbol.asyncIterator]();
      let next = grows.next();
      this.early.push(readFileSync(file.path).toString());
      this.#begun();
      while (statSync(file.path).size < file.growingTo) {
        await next.catch(() => call.signal.throwIfAborted());
        next = grows.next();
      }
      await Promise.all([grows.return?.(), next.catch(() => {})]);
    }
    return super.apply(call, key, file);
  }
}

/** Serves by reference and digest; `fetches` counts requests, `trouble` selects the fault of each. */
export class FakeRegistry implements RegistryDriver {
  readonly powers: readonly (keyof RegistryPowers)[];
  readonly tops: Map<string, Descriptor> = new Map();
  readonly blobs: Map<string, Uint8Array> = new Map();
  readonly fetches: string[] = [];
  trouble: (blob: Descriptor, from: number) => "cut" | "wrong" | "gone" | "wrong end" | null = () => null;
  /** Awaited between the halves of a blob. */
  halfway: (blob: Descriptor) => Promise<void> = async () => {};
  /** The access of the last `resolve`. */
  access: Access | undefined;

  constructor(powers: readonly (keyof RegistryPowers)[] = ["names", "archives"]) {
    this.powers = powers;
  }

  put(mediaType: string, content: string | Uint8Array): Descriptor {
    const bytes = Buffer.from(content);
    const digest = digestOf(bytes);
    this.blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  }
  async resolve(_call: Call, ref: string, access?: Access): Promise<Descriptor> {
    this.access = access;
    const found = this.tops.get(ref);
    if (found === undefined) throw fail("NotFound", `manifest for ${ref} not found: manifest unknown`);
    return found;
  }
  async fetch(_call: Call, _ref: string, blob: Descriptor, from: number): Promise<AsyncIterable<Uint8Array>> {
    const bytes = this.blobs.get(blob.digest);
    if (bytes === undefined) throw fail("NotFound", `no blob ${blob.digest}`);
    this.fetches.push(`${blob.digest} ${from}`);
    const trouble = this.trouble(blob, from);
    if (trouble === "gone") throw fail("NotFound", `no blob ${blob.digest}`);
    const half = bytes.length - Math.ceil((bytes.length - from) / 2);
    const sent = trouble === "wrong" ? Buffer.alloc(bytes.length) : trouble === "wrong end" ? Buffer.concat([bytes], half) : bytes;
    return parts(Buffer.concat([sent], bytes.length), from, half, trouble === "cut", () => this.halfway(blob));
  }
}

async function* parts(bytes: Uint8Array, from: number, half: number, cut: boolean, pause: () => Promise<void>): AsyncGenerator<Uint8Array> {
  yield bytes.subarray(from, half);
  await pause();
  if (cut) throw fail("Unavailable", "the connection broke off");
  yield bytes.subarray(half);
}

export const types = {
  index: "application/vnd.oci.image.index.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar",
  gzip: "application/vnd.oci.image.layer.v1.tar+gzip",
} as const;

/** Puts an image into the registry, and returns its manifest's descriptor. */
export function putImage(
  registry: FakeRegistry,
  layers: readonly string[],
  options: {
    readonly architecture?: string;
    readonly variant?: string;
    readonly diffIds?: readonly string[];
    readonly pack?: (plain: string) => Uint8Array;
  } = {},
): Descriptor {
  const config = registry.put(
    types.config,
    JSON.stringify({
      architecture: options.architecture ?? "amd64",
      os: "linux",
      ...(options.variant ? { variant: options.variant } : {}),
      config: { Cmd: ["/bin/sh"], Env: ["A=b"] },
      rootfs: { type: "layers", diff_ids: options.diffIds ?? layers.map((layer) => digestOf(Buffer.from(layer))) },
    }),
  );
  const packed = layers.map((layer) => registry.put(options.pack ? types.gzip : types.layer, options.pack?.(layer) ?? layer));
  return registry.put(types.manifest, JSON.stringify({ schemaVersion: 2, mediaType: types.manifest, config, layers: packed }));
}

export interface Engine {
  readonly images: ImagesService;
  readonly registry: FakeRegistry;
  readonly storage: MemoryStorage;
  readonly content: ContentService;
  readonly events: EngineEvent[];
  /** A new service over the same disk and records, as after a restart of the daemon. */
  again(): Promise<ImagesService>;
}

/** `others`: registry drivers beside the one for Docker's names, by scheme; `powers`: those of that one. */
export async function makeEngine<S extends MemoryStorage = MemoryStorage>(
  t: Case,
  storage: S = new MemoryStorage() as S,
  others: Readonly<Record<string, FakeRegistry>> = {},
  powers?: readonly (keyof RegistryPowers)[],
): Promise<Engine & { readonly storage: S }> {
  const registry = new FakeRegistry(powers);
  const content = await contentStore(temporaryDirectory(t));
  const state = memoryState();
  const published: EngineEvent[] = [];
  const again = async (): Promise<ImagesService> => {
    const records = new ImageRecords(state);
    await records.load(call);
    return imagesService({
      records,
      sizes: new Map(),
      leases: new Leases(),
      stranded: new Set(),
      workDirectory: temporaryDirectory(t),
      content,
      events: {
        publish: async (_call, event) => void published.push({ at: 0, ...event } as EngineEvent),
        subscribe: async () => {
          throw fail("Unsupported", "nobody listens");
        },
      },
      // Only drivers without `apply` need the host.
      host: {} as HostToolkit,
      hooks: { beforePull: async () => {}, resolveImage: async () => undefined },
      storage: async () => storage as unknown as StorageDriver,
      schemes: ["docker", ...Object.keys(others)],
      registry: async (scheme) => others[scheme] ?? registry,
      preferredRegistry: async () => "docker",
      openRegistries: async () => [...Object.values(others), registry],
      preferredStorage: async () => "memory",
      storages: async () => [{ id: "memory", storage: storage as unknown as StorageDriver }],
    });
  };
  return { images: await again(), registry, storage, content, events: published, again };
}

function memoryState(): StateService {
  const tables = new Map<string, Map<string, unknown>>();
  const table = (name: string): Map<string, unknown> => {
    const found = tables.get(name) ?? new Map<string, unknown>();
    tables.set(name, found);
    return found;
  };
  return {
    get: async (_call, name, key) => table(name).get(key) ?? null,
    list: async (_call, name) => [...table(name)].sort(([a], [b]) => (a < b ? -1 : 1)),
    write: async (_call, changes: readonly StateChange[]) => {
      for (const { table: name, key, value } of changes)
        if (value === null) table(name).delete(key);
        else table(name).set(key, structuredClone(value));
    },
    isRestored: async () => false,
    acceptRestored: async () => undefined,
  };
}

export async function drain(progress: Promise<AsyncIterable<PullProgress>>): Promise<readonly string[]> {
  const lines: string[] = [];
  for await (const { id, status } of await progress) lines.push(id === null ? status : `${id}: ${status}`);
  return lines;
}
