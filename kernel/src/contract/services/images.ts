/**
 * Images: names, manifests and configs over the content store; layers unpacked once per storage driver, by chain id.
 *
 * A *reference* is the name that a user types: `debian`, `debian:12`, `host:5000/a/b@sha256:…` (Docker's grammar; `docker.io/library/` is
 * left out for display), an image id or its prefix, or `scheme:rest` for the registry driver with that id (`oci:PATH`, `host:/`).
 * An image's *id* is the digest of its config (as docker shows it); `digest` is that of the manifest or index that the name was resolved
 * to.
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

/** The part of OCI's image config that running a container needs. The API converts it to Docker's names. */
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
  /** The digest of the config blob; null for an adopted directory. */
  readonly rawConfig: Digest | null;
  readonly diffIds: readonly Digest[];
  /** An adopted directory of the host (`host:/`), below the layers. */
  readonly adopted: string | null;
  /** The local image that it was made from; null: it comes from elsewhere. */
  readonly parent: Digest | null;
}

/** Progress of `pull` and `load`, in Docker's words. `id`: the layer's short digest; null for lines about the whole image. */
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
  /** The image that ended with this step, if it is known. */
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
  /** The `config` member of OCI's image config, with Docker's additional members. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly author: string;
  readonly comment: string;
  /** The entry in the image's history. */
  readonly createdBy: string;
  /** `linux/arm64`; null: the parent's platform, or this host's. */
  readonly platform: string | null;
  /** A reference with or without a tag. */
  readonly reference: string | null;
}

/** A problem that `check` found. */
export interface Finding {
  /** The problem, and where it is. */
  readonly what: string;
  /** What to do about it. */
  readonly cure: string;
  readonly mended: boolean;
  /** The registry that `repair` pulls from, as in a reference; null: it pulls nothing. */
  readonly registry: string | null;
}

/** A layer as a storage driver has it. */
export interface HeldLayer {
  readonly name: SnapshotName;
  readonly parent: SnapshotName | null;
  /** On disk, without its parents. */
  readonly bytes: number;
  /** What another driver can make it from: its blob, the directory that it shows, or only the tree in this driver. */
  readonly source: "blob" | "directory" | "copy";
  /** False: its image was removed, and a container still stands on it, or nothing does. */
  readonly needed: boolean;
}

export interface ImagesService {
  /**
   * Answers progress; when the stream ends without an error, the image is present. `NotFound`, `PermissionDenied`, `Unavailable`,
   * `DataLoss` in one line that names the reference.
   */
  pull(call: Call, reference: string, options: Sparse<{ platform: string; access: Partial<Access> }>): Promise<AsyncIterable<PullProgress>>;
  /**
   * `NotFound` with Docker's text (`No such image: x:latest`); `InvalidArgument` for an invalid reference; `Conflict` for an ambiguous id.
   * `platform`: the image must be for it, otherwise `NotFound`.
   */
  get(call: Call, reference: string, options?: Sparse<{ platform: string }>): Promise<Image>;
  /** Like `get`, but images of registry drivers with the power `local` (`host:/`, `oci:`, archives) are imported first. */
  ensure(call: Call, reference: string, options?: Sparse<{ platform: string }>): Promise<Image>;
  list(call: Call): Promise<readonly Image[]>;
  tag(call: Call, reference: string, target: string): Promise<void>;
  /**
   * Docker's rules: untags; the removal of the last name also removes the image, and the nameless images that it was made from
   * (`keepParents`: not those). `Conflict` while a container or another image uses it; `force` overrides the conflicts that Docker calls
   * soft. `users`: the existing containers.
   */
  remove(
    call: Call,
    reference: string,
    options: Sparse<{ force: boolean; keepParents: boolean; users: readonly ImageUser[] }>,
  ): Promise<readonly RemovedImage[]>;
  /**
   * Removes images that no container uses: those without a name, or (`all`) those with a name too. `only`: only those of these ids.
   * `freed`: bytes of snapshots.
   */
  prune(
    call: Call,
    options: Sparse<{ all: boolean; only: readonly Digest[]; users: readonly ImageUser[] }>,
  ): Promise<{ readonly removed: readonly RemovedImage[]; readonly freed: number }>;
  /**
   * What interrupted pulls and builds left: parts of downloads, blobs without an image, snapshots of layers that are no longer being
   * unpacked. `drop` removes it, and so does `prune` without `only`. The engine's start also removes half-made snapshots and old parts of
   * downloads.
   */
  leftovers(call: Call, options?: Sparse<{ drop: boolean }>): Promise<{ readonly count: number; readonly bytes: number }>;
  /** Compares the data on disk with the records, byte for byte. `repair` unpacks and pulls again what is missing or damaged. */
  check(
    call: Call,
    /** `credentials`: by registry. */
    options?: Sparse<{ repair: boolean; credentials: Readonly<Record<string, Credentials>> }>,
  ): Promise<readonly Finding[]>;
  /** Removes snapshots of removed images that stayed below containers which are gone by now. */
  sweep(call: Call): Promise<void>;
  /** Loads an archive on this host (docker-archive or oci-archive, plain or compressed); answers lines like `Loaded image: x:y`. */
  load(call: Call, path: string, options?: Sparse<{ platform: string }>): Promise<AsyncIterable<PullProgress>>;
  /**
   * Images as one archive that `load` and every other engine reads: Docker's manifest.json and repositories in an OCI layout.
   * `materialize`: an adopted directory is written out as a layer; without it such an image is `InvalidArgument`, since it would be
   * incomplete elsewhere.
   */
  save(
    call: Call,
    references: readonly string[],
    options: Sparse<{ platform: string; materialize: boolean }>,
  ): Promise<AsyncIterable<Uint8Array>>;
  /** Makes an image: a layer (a tar on this host, compressed or not; null: none) on those of `parent` (null: no layers). */
  create(call: Call, image: NewImage): Promise<Image>;
  /** The config blob as in OCI's image spec, parsed; members that it lacks are missing here too. */
  rawConfig(call: Call, image: Digest): Promise<Readonly<Record<string, unknown>>>;
  /** The steps that made the image, the last step first. */
  history(call: Call, image: Digest): Promise<readonly HistoryEntry[]>;
  /** The space of each layer on disk, as unpacked by the preferred driver; the lowest first. */
  layers(call: Call, image: Digest): Promise<readonly { readonly name: SnapshotName; readonly bytes: number }[]>;
  /**
   * Unpacks the layers that are not yet unpacked with this storage driver; answers the snapshot to put a read-write layer on; null for an
   * image without layers.
   */
  unpack(call: Call, image: Digest, storage: string): Promise<SnapshotName | null>;
  /** The layers that a storage driver has, each after its parent. */
  held(call: Call, storage: string): Promise<readonly HeldLayer[]>;
  /**
   * Makes one layer of the driver `from` in the driver `to`, where its parent is already. Answers progress; when the stream ends without an
   * error, the layer is on disk there.
   */
  carry(call: Call, name: SnapshotName, options: { readonly from: string; readonly to: string }): Promise<AsyncIterable<PullProgress>>;
  /** Removes from the driver `from` the layers that the driver `to` has as well, and on which nothing stands. */
  release(call: Call, options: { readonly from: string; readonly to: string }): Promise<{ readonly count: number; readonly bytes: number }>;
}

declare module "../plugin.ts" {
  interface Services {
    images: ImagesService;
  }
}
