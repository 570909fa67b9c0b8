/**
 * Images: names, manifests and configs over the content store; layers unpacked once per storage driver, by chain id.
 *
 * A *reference* is what a user types: `debian`, `debian:12`, `host:5000/a/b@sha256:…` (Docker's grammar; `docker.io/library/` is left out
 * again when shown), an image id or its beginning, or `scheme:rest` for another transport (`oci:PATH`, `docker-archive:PATH`, `host:/`). An
 * image's *id* is the digest of its config (as docker shows it); `digest` that of the manifest or index that the name was resolved to.
 */
import type { Call } from "../call.ts";
import type { Access, Credentials, Descriptor } from "../registry.ts";
import type { SnapshotName } from "../storage.ts";
import type { Digest, Sparse, Strings } from "../words.ts";
import type { HealthRequest } from "./health.ts";

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant: string | null;
}

/** The part of OCI's image config that running a container needs; Docker's names in Docker's case are the API's business. */
export interface ImageConfig {
  readonly user: string;
  readonly exposedPorts: readonly string[];
  readonly env: readonly string[];
  readonly entrypoint: readonly string[] | null;
  readonly command: readonly string[] | null;
  readonly volumes: readonly string[];
  readonly workingDirectory: string;
  readonly labels: Strings;
  readonly stopSignal: string | null;
  readonly healthCheck: HealthRequest | null;
  readonly shell: readonly string[] | null;
}

export interface Image {
  readonly id: Digest;
  /** Familiar names with tags: `debian:12`. */
  readonly tags: readonly string[];
  /** Familiar names with digests: `debian@sha256:…`. */
  readonly digests: readonly string[];
  readonly manifest: Descriptor;
  readonly platform: Platform;
  readonly createdAt: number;
  /** Bytes of the unpacked layers together. */
  readonly size: number;
  readonly config: ImageConfig;
  /** The config blob as it is; null for an adopted directory. */
  readonly rawConfig: Digest | null;
  readonly diffIds: readonly Digest[];
  /** An adopted directory of the host (`host:/`), below the layers. */
  readonly adopted: string | null;
  /** The image that it was made on here; null: it came from elsewhere. */
  readonly parent: Digest | null;
}

/** What `pull` and `load` tell, in Docker's words. `id`: the layer's short digest; null for lines about the whole. */
export interface PullProgress {
  readonly id: string | null;
  readonly status: string;
  readonly current: number | null;
  readonly total: number | null;
}

export interface ImageUser {
  readonly container: string;
  readonly image: Digest;
  readonly running: boolean;
}
export type RemovedImage = { readonly untagged: string } | { readonly deleted: string };
export interface HistoryEntry {
  /** Of the image that ended with this step, where it is known. */
  readonly image: Image | null;
  readonly createdAt: number;
  readonly createdBy: string;
  readonly comment: string;
  /** Bytes on disk. */
  readonly size: number;
}
export interface NewImage {
  readonly parent: Digest | null;
  readonly layer: string | null;
  /** Dockerfile instructions (`CMD ["x"]`, `ENV a=b` …) that are applied to `config`. */
  readonly changes: readonly string[];
  /** The `config` member of OCI's image config, with Docker's members besides. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly author: string;
  readonly comment: string;
  /** What the history says. */
  readonly createdBy: string;
  /** `linux/arm64`; null: the parent's, or this host's. */
  readonly platform: string | null;
  /** With a tag, or without. */
  readonly reference: string | null;
}

/** One thing that `check` found. */
export interface Finding {
  /** What is wrong, and where. */
  readonly what: string;
  /** What to do about it. */
  readonly cure: string;
  readonly mended: boolean;
  /** The registry that `repair` pulls from, as in a reference; null: it pulls nothing. */
  readonly registry: string | null;
}

export interface ImagesService {
  /**
   * Progress; when the stream ends without an error the image is there. `NotFound`, `PermissionDenied`, `Unavailable`, `DataLoss` in one
   * line that names the reference.
   */
  pull(call: Call, reference: string, options: Sparse<{ platform: string; access: Partial<Access> }>): Promise<AsyncIterable<PullProgress>>;
  /**
   * `NotFound` with Docker's text (`No such image: x:latest`); `InvalidArgument` for what is no reference; `Conflict` for an ambiguous id.
   * `platform`: that one, else `NotFound`.
   */
  get(call: Call, reference: string, options?: Sparse<{ platform: string }>): Promise<Image>;
  /** As `get`, but schemes that need no network (`host:/`, `oci:`, archives) are brought in first. */
  ensure(call: Call, reference: string, options?: Sparse<{ platform: string }>): Promise<Image>;
  list(call: Call): Promise<readonly Image[]>;
  tag(call: Call, reference: string, target: string): Promise<void>;
  /**
   * Docker's rules: untags; the last name takes the image with it, and the nameless images that it was made on (`keepParents`: not those).
   * `Conflict` while a container or another image stands on it; what is soft of that gives way to `force`. `users`: the containers there
   * are.
   */
  remove(
    call: Call,
    reference: string,
    options: Sparse<{ force: boolean; keepParents: boolean; users: readonly ImageUser[] }>,
  ): Promise<readonly RemovedImage[]>;
  /**
   * Removes what no container uses: images without a name, or (`all`) with one too. `only`: those of these ids. `freed`: bytes of
   * snapshots.
   */
  prune(
    call: Call,
    options: Sparse<{ all: boolean; only: readonly Digest[]; users: readonly ImageUser[] }>,
  ): Promise<{ readonly removed: readonly RemovedImage[]; readonly freed: number }>;
  /**
   * What pulls and builds left that did not end: parts of downloads, blobs that no image has, snapshots of layers that nobody unpacks any
   * more. `drop`: removes it, and so does `prune` without `only`; half-made snapshots, and parts of downloads that are old, go at the
   * engine's start as well.
   */
  leftovers(call: Call, options?: Sparse<{ drop: boolean }>): Promise<{ readonly count: number; readonly bytes: number }>;
  /** Compares what is on disk with the records, byte for byte; `repair` unpacks and pulls again what is missing or damaged. */
  check(
    call: Call,
    /** `credentials`: by registry. */
    options?: Sparse<{ repair: boolean; credentials: Readonly<Record<string, Credentials>> }>,
  ): Promise<readonly Finding[]>;
  /** Frees snapshots that removed images left under containers which are gone by now. */
  sweep(call: Call): Promise<void>;
  /** An archive (docker-archive or oci-archive, plain or compressed) as a file on this host; answers lines like `Loaded image: x:y`. */
  load(call: Call, path: string, options?: Sparse<{ platform: string }>): Promise<AsyncIterable<PullProgress>>;
  /**
   * Images as one archive that `load` and every other engine reads: Docker's manifest.json and repositories in an OCI layout.
   * `materialize`: an adopted directory is written out as a layer; without it such an image is `InvalidArgument`, since it is not whole
   * elsewhere.
   */
  save(
    call: Call,
    references: readonly string[],
    options: Sparse<{ platform: string; materialize: boolean }>,
  ): Promise<AsyncIterable<Uint8Array>>;
  /** A new image: a layer (a tar on this host, packed or not; null: none) on those of `parent` (null: on nothing). */
  create(call: Call, image: NewImage): Promise<Image>;
  /** The config blob as OCI's image spec has it, parsed; what is not in it is not there. */
  rawConfig(call: Call, image: Digest): Promise<Readonly<Record<string, unknown>>>;
  /** How it was made, the last step first. */
  history(call: Call, image: Digest): Promise<readonly HistoryEntry[]>;
  /** What each layer takes on disk, unpacked by the preferred driver; the lowest first. */
  layers(call: Call, image: Digest): Promise<readonly { readonly name: SnapshotName; readonly bytes: number }[]>;
  /**
   * Unpacks what is not unpacked yet with this storage driver; answers the snapshot to put a read-write layer on; null for an image without
   * layers.
   */
  unpack(call: Call, image: Digest, storage: string): Promise<SnapshotName | null>;
}

declare module "../plugin.ts" {
  interface Services {
    images: ImagesService;
  }
}
