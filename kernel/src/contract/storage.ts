/**
 * A storage driver keeps file trees as snapshots. A snapshot is *active* (writable), a *view* (read-only), or *committed* (immutable; only
 * a committed snapshot may be a parent). A driver answers with mounts and mounts nothing itself.
 *
 * - To unpack a layer: `prepare(key, parent)` → apply the tar over the mounts → `commit(name, key)`; `name` is the layer's ChainID (OCI
 *   image spec).
 * - To run a container: `prepare(key, image)` → the container gets the mounts → it ends → `remove(key)`.
 * - To commit a container: the same, but `commit(name, key)` instead of `remove`.
 *
 * Keys and names share one namespace and are safe as file names: 1 to 200 of [A-Za-z0-9._:-], no dot first. Types keep them apart; between
 * processes all are strings, so a verb still checks: an unknown one is `NotFound`, a taken one `AlreadyExists`, one of the wrong kind (a
 * parent that is not committed) `FailedPrecondition`. A refused verb changes nothing.
 *
 * Repetition after a crash: a finished `prepare` or `commit` is `AlreadyExists` (ask `mounts`), a finished `remove` is `NotFound`.
 * On a full disk a verb is `ResourceExhausted`, or done; `remove` needs no room.
 * Durability: when `commit` answers, the tree survives a power cut (but see `volatile`). Active trees need not. A crash leaves a tree under
 * its key or its name, and never loses both. If a `remove` and a `prepare` on top of it run at the same time, one is refused.
 *
 * A layer is unpacked, a container changes it, and the changes become a layer:
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
 * One mount as mount_setattr(2) and fsconfig(2) see it: options are `key` or `key=value`, in order; a key may repeat (`lowerdir+`). The
 * words of mount_setattr(2) (`ro`, `nodev`, `noatime` …) are flags of this mount alone, all others are the file system's; `ro=fs` makes the
 * file system read-only itself, so that nothing is written to its device.
 * `target` is relative to the root file system; null is the root itself. A bind mount has the type `bind` and a directory or file as
 * source.
 */
export interface Mount {
  readonly type: string;
  readonly source: string;
  readonly target: string | null;
  readonly options: readonly string[];
  /**
   * The ids that its files appear with; on disk they do not change. The caller that mounts for a container in a user namespace sets it,
   * never a driver: the shim maps binds and the layers of an overlay (Linux 5.19), and `HostToolkit.open` ignores it.
   */
  readonly idMaps?: IdMaps | undefined;
}

export interface StorageDriver extends Driver<StoragePowers> {
  /** A driver may limit how many snapshots stand on each other, at 127 or more; one more is `FailedPrecondition`. */
  prepare(call: Call, key: ActiveKey, parent: SnapshotName | null, options?: PrepareOptions): Promise<readonly Mount[]>;
  view(call: Call, key: ViewKey, parent: SnapshotName | null): Promise<readonly Mount[]>;
  /** `FailedPrecondition` for a committed name: only a view of it can be mounted. */
  mounts(call: Call, key: ActiveKey | ViewKey, options?: MountsOptions): Promise<readonly Mount[]>;
  /**
   * The key is gone, and the name exists. `parent` only with the power `rebase`: for layers that were unpacked concurrently and are stacked
   * now.
   */
  commit(call: Call, name: SnapshotName, key: ActiveKey, options?: CommitOptions): Promise<void>;
  /** `FailedPrecondition` while a child exists. */
  remove(call: Call, key: SnapshotKey): Promise<void>;
  stat(call: Call, key: SnapshotKey): Promise<Snapshot>;
  /** The space that `remove` would free: the snapshot's own, without its parents. */
  usage(call: Call, key: SnapshotKey): Promise<Usage>;
  /** Each snapshot once; one that appears or disappears meanwhile may be included or not. */
  list(call: Call): Promise<AsyncIterable<Snapshot>>;
}

export type PrepareOptions = Sparse<{
  /** Needs the power `quota`. */
  quotaBytes: number;
  /** A hint to every driver: contents may be lost in a power cut (build steps, `--rm` containers). A `commit` is durable nevertheless. */
  volatile: boolean;
  /**
   * A hint in addition to `volatile`: its contents are never needed on disk, not even after a sync by their writer (`--rm` containers,
   * tools beside a container). The driver may leave out each sync, also that of the unmount, which waits for all writes of everybody to the
   * file system. It is mounted, read and committed like any other snapshot.
   */
  discarded: boolean;
}>;
export type MountsOptions = Sparse<{
  /** For reading only, also while the writable mounts are in use elsewhere: new writes may or may not appear. */
  readOnly: boolean;
}>;
export type CommitOptions = Sparse<{
  /** Needs the power `rebase`. */
  parent: SnapshotName;
  /**
   * A hint, for a snapshot that was prepared as volatile and can be made again: the answer need not wait for the disk. A power cut soon
   * after removes all of the snapshot. A snapshot that is prepared or committed durably on top of it makes it durable first.
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
  /** `apply` takes a layer that is still being downloaded (`growingTo`). */
  follow: unknown;
  diff: Diffs;
  changes: Lists;
  adopt: Adopts;
  reclaim: Reclaims;
  release: Releases;
  report: Reports;
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
   * For `HostToolkit.apply`, and for `apply` with the power `follow`: the file is still being written, and is complete with this many
   * bytes. A reader that reaches its end before waits for more; if the rest never comes, the call is canceled.
   */
  readonly growingTo?: number;
}
/** The contents of a layer: `diffId` is the digest of the plain tar, `digest` and `size` are those of the file. */
export interface Layer {
  readonly diffId: Digest;
  readonly digest: Digest;
  readonly size: number;
}

/**
 * Applies a layer to an active snapshot with the same result as a tar applied over its mounts, without mounting. `InvalidArgument`: not a
 * layer, or one that reaches outside.
 */
export interface Applies {
  apply(call: Call, key: ActiveKey, layer: LayerFile): Promise<Layer>;
}
/** Writes the changes of `upper` against `lower` (null: all of `upper`) as a layer; `into.path` must not exist. */
export interface Diffs {
  diff(call: Call, lower: SnapshotName | null, upper: SnapshotKey, into: LayerFile, options?: DiffOptions): Promise<Layer>;
}
export type DiffOptions = Sparse<{
  /**
   * Absolute paths where an empty file, a link, or a directory with nothing else in it does not count as a change: the engine created it as
   * a mount point.
   */
  own: readonly string[];
}>;
/** Answers how `upper` differs from `lower` (null: an empty tree) without comparing unchanged files. */
export interface Lists {
  changes(call: Call, lower: SnapshotName | null, upper: SnapshotKey, options?: DiffOptions): Promise<AsyncIterable<Change>>;
}
/**
 * One difference between two trees, by the rules of `docker diff`: a directory counts as modified if its mode or owner changed or something
 * in it did; a removed directory is reported without its contents. Files are compared by kind, mode, owner, size, time and capabilities.
 */
export interface Change {
  readonly kind: "modified" | "added" | "deleted";
  /** Absolute. */
  readonly path: string;
}
/**
 * Uses a directory that the engine does not own as a read-only base (`host:/`). Mounts below it are not part of it; nothing is ever written
 * or removed there.
 */
export interface Adopts {
  adopt(call: Call, name: SnapshotName, directory: string): Promise<void>;
}
/**
 * Makes a volatile snapshot durable, with all snapshots below it: it survives a power cut when this answers. For an active snapshot that is
 * its existence, not its contents. A snapshot that is durable already is done at once.
 */
export interface Settles {
  settle(call: Call, key: SnapshotKey): Promise<void>;
}
/**
 * For a driver whose mounts hold something on the host, such as a device. `released` says that the mounts of a key are unmounted where the
 * caller had them, or never will be mounted: a container has ended, or its start has failed. Others may still have them. What nobody has
 * mounted is let go, a minute after the answer that named it at the latest; the next `mounts` brings it back. So an answer's mounts have to
 * be mounted within a minute. `NotFound`: the key is gone, and with it what it held.
 */
export interface Releases {
  released(call: Call, key: ActiveKey | ViewKey): Promise<void>;
}
/** What an operator wants to know about the driver's place on this host: `tsbox info` and Docker's `DriverStatus` show it. */
export interface Reports {
  report(call: Call): Promise<StorageReport>;
}
export interface StorageReport {
  /** Names and values, in order. */
  readonly rows: readonly (readonly [string, string])[];
  /** One line each: what is wrong or slow about it, and what to do. */
  readonly warnings: readonly string[];
}
/** `remove` hides a snapshot at once; `reclaim` frees its space, and answers when it is free. */
export interface Reclaims {
  reclaim(call: Call): Promise<{ readonly bytes: number }>;
}
