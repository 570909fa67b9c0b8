/**
 * A storage driver keeps file trees as snapshots. A snapshot is *active* (somebody may write), a *view* (somebody reads), or *committed*
 * (immutable, and the only thing that may be a parent). A driver answers with mounts and mounts nothing itself.
 *
 * Unpacking a layer: `prepare(key, parent)` → apply the tar over the mounts → `commit(name, key)`; `name` is the layer's ChainID (OCI image
 * spec). Running:          `prepare(key, image)` → mounts go to the container → it ends → `remove(key)`. Committing:       as running, but
 * `commit(name, key)` instead of `remove`.
 *
 * Keys and names share one namespace and are safe as file names: 1 to 200 of [A-Za-z0-9._:-], no dot first. Types keep them apart; on the
 * wire all are strings, so a verb still looks: unknown is `NotFound`, taken `AlreadyExists`, of the wrong kind (a parent that is not
 * committed) `FailedPrecondition`. A refused verb changes nothing.
 *
 * Asked again after a crash: a `prepare` or `commit` that was done is `AlreadyExists` (ask `mounts`), a `remove` that was done is
 * `NotFound`. Durability: when `commit` answers, the tree survives a power cut (but see `volatile`). Active trees need not. A crash leaves
 * a tree under its key or its name, never neither. Of a `remove` and a `prepare` on top of it at the same time, one is refused.
 *
 * A layer is unpacked, a container changes it, and what it changed becomes a layer of its own:
 *
 * ```ts
 * const base = "sha256:base" as SnapshotName;
 * const unpacking = "unpack-1" as ActiveKey;
 * await write(await driver.prepare(call, unpacking, null), "motd", "hello");
 * await driver.commit(call, base, unpacking);
 *
 * const layer = "container-1" as ActiveKey;
 * const root = await driver.prepare(call, layer, base);
 * expect(await read(root, "motd"), "hello");
 * await write(root, "motd", "changed");
 * // While somebody stands on it, it stays.
 * await refused(driver.remove(call, base), "FailedPrecondition");
 * await driver.commit(call, "sha256:changed" as SnapshotName, layer);
 *
 * const look = await driver.view(call, "look-1" as ViewKey, "sha256:changed" as SnapshotName);
 * expect(await read(look, "motd"), "changed");
 * expect(await read(await driver.view(call, "look-2" as ViewKey, base), "motd"), "hello");
 *
 * for (const key of ["look-1", "look-2", "sha256:changed", "sha256:base"]) await driver.remove(call, key as SnapshotKey);
 * for await (const left of await driver.list(call)) throw new Error(`${left.key} is left`);
 * ```
 */
import type { Call } from "./call.ts";
import type { Driver } from "./driver.ts";
import type { Branded, Digest, Sparse } from "./words.ts";

export type ActiveKey = Branded<"active">;
export type ViewKey = Branded<"view">;
export type SnapshotName = Branded<"committed">;
export type SnapshotKey = ActiveKey | ViewKey | SnapshotName;

/** `kind` narrows `key`. */
export type Snapshot = SnapshotOf<"active", ActiveKey> | SnapshotOf<"view", ViewKey> | SnapshotOf<"committed", SnapshotName>;
export interface SnapshotOf<Kind extends string, Key extends SnapshotKey> {
  readonly kind: Kind;
  readonly key: Key;
  readonly parent: SnapshotName | null;
  readonly createdAt: number;
}

/**
 * One mount as mount_setattr(2) and fsconfig(2) see it: options are `key` or `key=value`, in order; a key may repeat (`lowerdir+`).
 * `target` is relative to the root file system; null is the root itself. A bind mount has the type `bind` and a directory or file as
 * source.
 */
export interface Mount {
  readonly type: string;
  readonly source: string;
  readonly target: string | null;
  readonly options: readonly string[];
  /**
   * The ids that its files are shown with; on disk they stay as they are. Set by who mounts for a container in a user namespace, never by a
   * driver: the shim maps binds and the layers of an overlay (Linux 5.19), and `HostToolkit.open` leaves it out of account.
   */
  readonly idMaps?: IdMaps | undefined;
}

export interface StorageDriver extends Driver<StoragePowers> {
  prepare(call: Call, key: ActiveKey, parent: SnapshotName | null, options?: PrepareOptions): Promise<readonly Mount[]>;
  view(call: Call, key: ViewKey, parent: SnapshotName | null): Promise<readonly Mount[]>;
  /** `FailedPrecondition` for a committed name: a view of it is what can be mounted. */
  mounts(call: Call, key: ActiveKey | ViewKey, options?: MountsOptions): Promise<readonly Mount[]>;
  /** The key is gone, the name is there. `parent` only with power `rebase`: layers were unpacked side by side and are stacked now. */
  commit(call: Call, name: SnapshotName, key: ActiveKey, options?: CommitOptions): Promise<void>;
  /** `FailedPrecondition` while a child exists. */
  remove(call: Call, key: SnapshotKey): Promise<void>;
  stat(call: Call, key: SnapshotKey): Promise<Snapshot>;
  /** What `remove` would give back: the snapshot's own, not its parents'. */
  usage(call: Call, key: SnapshotKey): Promise<Usage>;
  /** Each once; what comes or goes meanwhile may be in it or not. */
  list(call: Call): Promise<AsyncIterable<Snapshot>>;
}

export type PrepareOptions = Sparse<{
  /** Power `quota`. */
  quotaBytes: number;
  /** A hint to every driver: contents may be lost in a power cut (build steps, `--rm` containers). A `commit` is durable all the same. */
  volatile: boolean;
  /**
   * A hint on top of `volatile`: nobody will need what is written there, not even after a sync by whoever writes it (`--rm` containers,
   * tools beside a container). The driver may leave out each sync, that of the unmount included, which waits for all that anybody has
   * written to the file system. It is mounted, looked at, and committed like any other.
   */
  discarded: boolean;
}>;
export type MountsOptions = Sparse<{
  /** To look only, also while the writable ones are mounted elsewhere: what is written there may or may not show. */
  readOnly: boolean;
}>;
export type CommitOptions = Sparse<{
  /** Power `rebase`. */
  parent: SnapshotName;
  /**
   * A hint, for what was prepared as volatile and can be made anew: the answer need not wait for the disk. A power cut soon after takes the
   * snapshot whole; one that is prepared or committed durably on top of it makes it durable first.
   */
  volatile: boolean;
}>;

export interface Usage {
  /** Allocated on disk. */
  readonly bytes: number;
  readonly inodes: number;
}

export interface IdMap {
  readonly containerId: number;
  readonly hostId: number;
  readonly size: number;
}
export interface IdMaps {
  readonly uids: readonly IdMap[];
  readonly gids: readonly IdMap[];
}

export interface StoragePowers {
  apply: Applies;
  /** `apply` takes a layer that is still on its way (`growingTo`). */
  follow: unknown;
  diff: Diffs;
  changes: Lists;
  adopt: Adopts;
  reclaim: Reclaims;
  /** `commit` takes a parent. */
  rebase: unknown;
  /** `prepare` takes `quotaBytes`; a write beyond it is EDQUOT or ENOSPC. */
  quota: unknown;
  settle: Settles;
}

/** A layer as a file. Media types are OCI's and Docker's; the suffix says how it is compressed (`+gzip`, `+zstd`, none). */
export interface LayerFile {
  readonly path: string;
  readonly mediaType: string;
  /**
   * For `HostToolkit.apply`, and for `apply` with power `follow`: the file is still being written, and whole with so many bytes. Who comes
   * to its end before waits for more; what will never come cancels the call.
   */
  readonly growingTo?: number;
}
/** What a layer holds: `diffId` is the digest of the plain tar, `digest` and `size` those of the file. */
export interface Layer {
  readonly diffId: Digest;
  readonly digest: Digest;
  readonly size: number;
}

/**
 * Lays a layer over an active snapshot as a tar applied over its mounts would, without mounting. `InvalidArgument`: not a layer, or one
 * that reaches outside.
 */
export interface Applies {
  apply(call: Call, key: ActiveKey, layer: LayerFile): Promise<Layer>;
}
/** Writes what `upper` changes against `lower` (null: all of it) as a layer; `into.path` must not exist. */
export interface Diffs {
  diff(call: Call, lower: SnapshotName | null, upper: SnapshotKey, into: LayerFile, options?: DiffOptions): Promise<Layer>;
}
export type DiffOptions = Sparse<{
  /**
   * Absolute paths where an empty file, a link, or a directory with nothing else in it is no change: the engine put it there to mount
   * something on it.
   */
  own: readonly string[];
}>;
/** Tells how `upper` differs from `lower` (null: an empty tree) without comparing what did not change. */
export interface Lists {
  changes(call: Call, lower: SnapshotName | null, upper: SnapshotKey, options?: DiffOptions): Promise<AsyncIterable<Change>>;
}
/**
 * One difference between two trees, as `docker diff` tells it: a directory counts as modified when its mode or owner changed or something
 * in it did, a removed one is told without what was in it. Files are compared by kind, mode, owner, size, time and capabilities.
 */
export interface Change {
  readonly kind: "modified" | "added" | "deleted";
  /** Absolute. */
  readonly path: string;
}
/**
 * Takes a directory that the engine does not own as a read-only base (`host:/`). Mounts below it are not part of it; nothing is ever
 * written or removed there.
 */
export interface Adopts {
  adopt(call: Call, name: SnapshotName, directory: string): Promise<void>;
}
/**
 * Makes last what was prepared or committed as volatile, with all below it: it survives a power cut when this answers. Of an active
 * snapshot that is its being there; what is written to it need not. What lasts already is done at once.
 */
export interface Settles {
  settle(call: Call, key: SnapshotKey): Promise<void>;
}
/** `remove` takes out of sight at once; this frees the space that it left, and answers when it is free. */
export interface Reclaims {
  reclaim(call: Call): Promise<{ readonly bytes: number }>;
}
