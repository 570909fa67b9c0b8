/** A container's mounts besides its root: requested by the user, resolved once at the container's creation, and kept in its record. */
import type { Digest, Strings } from "../words.ts";

export type Propagation = "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave";

/** The user's request. `target` is absolute and clean. */
export type MountRequest = BindRequest | VolumeRequest | TmpfsRequest | ImageRequest;
interface Requested {
  readonly target: string;
  readonly readOnly: boolean;
}
export interface BindRequest extends Requested {
  readonly kind: "bind";
  readonly source: string;
  readonly propagation: Propagation | null;
  /** Includes the mounts below the source. */
  readonly recursive: boolean;
  readonly readOnlyDepth: ReadOnlyDepth;
  /** A missing source is created as a directory; otherwise it is refused. */
  readonly createSource: boolean;
  /** Docker's text of the request (`ro`, `z`, …), for inspect. */
  readonly mode: string;
}
/** How deep "read-only" goes: as deep as the host's kernel can, only the top mount, or the whole tree or an error. */
export type ReadOnlyDepth = "as-far-as-possible" | "top" | "all";
export interface VolumeRequest extends Requested {
  readonly kind: "volume";
  /** Null: an anonymous volume. */
  readonly name: string | null;
  /** Null: the host's default driver. */
  readonly driver: string | null;
  readonly options: Strings;
  readonly labels: Strings;
  /** An empty volume gets the image's files at the target. */
  readonly copy: boolean;
  /** A path below the volume's root, which no link leads out of; "": the whole volume. */
  readonly subpath: string;
  readonly mode: string;
}
export interface TmpfsRequest extends Requested {
  readonly kind: "tmpfs";
  readonly options: readonly string[];
  /** Requested by `--tmpfs`, which inspect shows in HostConfig alone. */
  readonly plain: boolean;
}
export interface ImageRequest extends Requested {
  readonly kind: "image";
  readonly reference: string;
  readonly subpath: string;
}

/** The resolved mount. */
export type MountPoint = BindPoint | VolumePoint | TmpfsPoint | ImagePoint;
interface Resolved {
  readonly target: string;
  readonly readOnly: boolean;
}
export interface BindPoint extends Resolved {
  readonly kind: "bind";
  readonly source: string;
  readonly propagation: Propagation;
  readonly recursive: boolean;
  readonly readOnlyDepth: ReadOnlyDepth;
  readonly createSource: boolean;
  readonly mode: string;
}
export interface VolumePoint extends Resolved {
  readonly kind: "volume";
  readonly name: string;
  readonly driver: string;
  /** The volume's path on the host, for display. */
  readonly source: string;
  readonly subpath: string;
  readonly mode: string;
  /** The user gave it no name: `rm -v` and `--rm` remove it. */
  readonly anonymous: boolean;
}
export interface TmpfsPoint extends Resolved {
  readonly kind: "tmpfs";
  readonly options: readonly string[];
  readonly plain: boolean;
}
export interface ImagePoint extends Resolved {
  readonly kind: "image";
  readonly reference: string;
  /** The image that the reference resolved to. Records of older engines lack it. */
  readonly imageId?: Digest;
  /** The key of a view of the image's tree, in the container's storage driver. */
  readonly view: string;
  readonly subpath: string;
}

/** `--volumes-from`: the mounts of another container. `readOnly` null: as in that container. */
export interface VolumesFrom {
  readonly container: string;
  readonly readOnly: boolean | null;
}
