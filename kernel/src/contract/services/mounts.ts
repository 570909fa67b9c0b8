/**
 * What a container sees besides its own root: asked for by the user, then resolved once, when the container is made, and kept in its
 * record.
 */
import type { Digest, Strings } from "../words.ts";

export type Propagation = "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave";

/** What the user asked for. `target` is absolute and clean. */
export type MountRequest = BindRequest | VolumeRequest | TmpfsRequest | ImageRequest;
interface Requested {
  readonly target: string;
  readonly readOnly: boolean;
}
export interface BindRequest extends Requested {
  readonly kind: "bind";
  readonly source: string;
  readonly propagation: Propagation | null;
  /** With the mounts below the source. */
  readonly recursive: boolean;
  readonly readOnlyDepth: ReadOnlyDepth;
  /** A source that is missing becomes a directory; else it is refused. */
  readonly createSource: boolean;
  /** Docker's word for how it was asked (`ro`, `z`, …), for inspect. */
  readonly mode: string;
}
/** How far down "read-only" goes: as far as the kernel can, the top only, or all the way or not at all. */
export type ReadOnlyDepth = "as-far-as-possible" | "top" | "all";
export interface VolumeRequest extends Requested {
  readonly kind: "volume";
  /** Null: an anonymous one. */
  readonly name: string | null;
  /** Null: the host's choice. */
  readonly driver: string | null;
  readonly options: Strings;
  readonly labels: Strings;
  /** An empty volume gets what the image has at the target. */
  readonly copy: boolean;
  /** Below the volume's root, which no link of it leads out of; "" is all of it. */
  readonly subpath: string;
  readonly mode: string;
}
export interface TmpfsRequest extends Requested {
  readonly kind: "tmpfs";
  readonly options: readonly string[];
  /** Asked by `--tmpfs`, which inspect shows in HostConfig alone. */
  readonly plain: boolean;
}
export interface ImageRequest extends Requested {
  readonly kind: "image";
  readonly reference: string;
  readonly subpath: string;
}

/** What it became. */
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
  /** Where the host sees it; for show. */
  readonly source: string;
  readonly subpath: string;
  readonly mode: string;
  /** Nobody gave it a name: it goes with `rm -v` and `--rm`. */
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
  /** The image that the reference led to. Records of older engines have none. */
  readonly imageId?: Digest;
  /** A view of the image's tree, of the container's own storage driver. */
  readonly view: string;
  readonly subpath: string;
}

/** `--volumes-from`: what another container has. `readOnly` null: as there. */
export interface VolumesFrom {
  readonly container: string;
  readonly readOnly: boolean | null;
}
