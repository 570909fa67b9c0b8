/**
 * Subvolumes of btrfs, for drivers that keep trees in them. Paths are absolute, and a link at a path's end is not followed. `Unsupported`:
 * the path is not on btrfs; `InvalidArgument`: it is a directory, but no subvolume.
 *
 * Everybody who may write to a tree can make subvolumes in it, a container too. The verbs that take away or measure a subvolume know those
 * inside it. A snapshot does not have them: it shows an empty directory in place of each (see `flattenSubvolume`).
 *
 * Each subvolume has a quota group of the same id while the file system has quotas. *Simple* quotas (Linux 6.7) count what a subvolume has
 * written itself; *full* ones also follow what is shared, which makes snapshots slow.
 */
import type { Call } from "./call.ts";
import type { Usage } from "./storage.ts";
import type { Sparse } from "./words.ts";

export interface HostBtrfs {
  /** Makes an empty subvolume of root, mode 755. `AlreadyExists`. */
  createSubvolume(call: Call, path: string): Promise<void>;
  /** Makes a snapshot of the subvolume `from` at `to`, with everything that was written to `from` before. */
  snapshotSubvolume(call: Call, from: string, to: string, options?: Sparse<{ readOnly: boolean }>): Promise<void>;
  describeSubvolume(call: Call, path: string): Promise<Subvolume>;
  setSubvolumeReadOnly(call: Call, path: string, readOnly: boolean): Promise<void>;
  /**
   * The ids of the subvolume at `path` and of those inside it, each before the one that it lies in; at most `most`. The last one is that of
   * `path`, unless there are more.
   */
  listSubvolumes(call: Call, path: string, most: number): Promise<readonly number[]>;
  /**
   * Removes subvolumes of the file system of the directory `path`, by their ids, in this order. One that is gone is no error. The kernel
   * frees them later (see `awaitSubvolumes`).
   */
  removeSubvolumes(call: Call, path: string, ids: readonly number[]): Promise<void>;
  /** Waits until the kernel has freed removed subvolumes. `DeadlineExceeded` after `seconds`. */
  awaitSubvolumes(call: Call, path: string, ids: readonly number[], seconds: number): Promise<void>;
  /** Replaces the subvolumes inside a subvolume by directories with the same contents, which share their blocks. Can be repeated. */
  flattenSubvolume(call: Call, path: string): Promise<void>;
  /**
   * The space of a subvolume, and of those inside it, as of the last sync of the file system. Does not count what a snapshot shares with
   * what it was made of.
   */
  subvolumeUsage(call: Call, path: string): Promise<Usage>;

  /** The quotas of the file system of the directory `path`. */
  subvolumeQuotas(call: Call, path: string): Promise<"off" | "simple" | "full">;
  /**
   * Switches quotas on: simple ones, or full ones where the kernel lacks these. A file system with simple quotas can't be mounted by a
   * kernel that does not know them.
   */
  enableSubvolumeQuotas(call: Call, path: string): Promise<void>;
  /**
   * Limits what is a subvolume's own; a write beyond is EDQUOT. Null: no limit. `Unsupported`: the file system has no quotas; it is no
   * error for null.
   */
  limitSubvolume(call: Call, path: string, bytes: number | null): Promise<void>;
  /**
   * Removes the quota groups of removed subvolumes, and answers the ids of those that the kernel still holds: try again later. A group
   * whose subvolume exists stays, and is not answered.
   */
  removeQuotaGroups(call: Call, path: string, ids: readonly number[]): Promise<readonly number[]>;
}

export interface Subvolume {
  readonly id: number;
  readonly readOnly: boolean;
}
