/**
 * Images: names, manifests and configs over the content store; layers unpacked once per storage driver, by chain id.
 *
 * A *reference* is what a user types: `debian`, `debian:12`, `host:5000/a/b@sha256:…` (Docker's grammar; `docker.io/library/` is left out again when shown), an image id or
 * its beginning, or `scheme:rest` for another transport (`oci:PATH`, `docker-archive:PATH`, `host:/`).
 * An image's *id* is the digest of its config (as docker shows it); `digest` that of the manifest or index that the name was resolved to.
 */
import type { Call } from "../call.ts";
import type { Access, Descriptor } from "../registry.ts";
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
  /** An adopted directory of the host (`host:/`): it has no layers. */
  readonly adopted: string | null;
}

/** What `pull` and `load` tell, in Docker's words. `id`: the layer's short digest; null for lines about the whole. */
export interface PullProgress {
  readonly id: string | null;
  readonly status: string;
  readonly current: number | null;
  readonly total: number | null;
}

export interface ImagesService {
  /** Progress; when the stream ends without an error the image is there. `NotFound`, `PermissionDenied`, `Unavailable`, `DataLoss` in one line that names the reference. */
  pull(call: Call, reference: string, options: Sparse<{ platform: string; access: Partial<Access> }>): Promise<AsyncIterable<PullProgress>>;
  /** `NotFound` with Docker's text (`No such image: x:latest`); `InvalidArgument` for what is no reference; `Conflict` for an ambiguous id. `platform`: that one, else `NotFound`. */
  get(call: Call, reference: string, options?: Sparse<{ platform: string }>): Promise<Image>;
  /** As `get`, but schemes that need no network (`host:/`, `oci:`, archives) are brought in first. */
  ensure(call: Call, reference: string, options?: Sparse<{ platform: string }>): Promise<Image>;
  list(call: Call): Promise<readonly Image[]>;
  tag(call: Call, reference: string, target: string): Promise<void>;
  /** Docker's rules: untags; the last tag takes the image with it. `Conflict` while a container uses it (containers say so by `inUse`), unless forced. */
  remove(
    call: Call,
    reference: string,
    options: Sparse<{ force: boolean; inUse: readonly Digest[] }>,
  ): Promise<readonly ({ readonly untagged: string } | { readonly deleted: string })[]>;
  /** An archive (docker-archive or oci-archive, plain or compressed) as a file on this host; answers lines like `Loaded image: x:y`. */
  load(call: Call, path: string): Promise<AsyncIterable<PullProgress>>;
  /** Unpacks what is not unpacked yet with this storage driver; answers the snapshot to put a read-write layer on; null for an image without layers. */
  unpack(call: Call, image: Digest, storage: string): Promise<SnapshotName | null>;
}

declare module "../plugin.ts" {
  interface Services {
    images: ImagesService;
  }
}
