/**
 * What native code does for every driver, versioned like any contract: third parties build on this, not on the addon.
 * What comes from a layer or a container's tree is hostile: no method here follows a link out of the root that it was given.
 */
import type { Call } from "./call.ts";
import type { HostNetwork } from "./host-network.ts";
import type { OciResources } from "./oci-resources.ts";
import type { Change, DiffOptions, IdMaps, Layer, LayerFile, Mount, Usage } from "./storage.ts";
import type { Sparse, Strings } from "./words.ts";

export type * from "./host-network.ts";

export interface Command {
  readonly argv: readonly string[];
  readonly environment: Strings;
  readonly workingDirectory: string;
}
export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
}

export interface HostToolkit extends HostNetwork {
  /**
   * Opens mounts detached from every mount namespace: nothing to clean after a crash, nothing in /proc/mounts. The path lives until
   * `close`, or as long as the plugin that asked; the kernel's `withMounts` pairs them. A target that is missing is made; where nothing can
   * be written its mount is left out.
   */
  open(call: Call, mounts: readonly Mount[]): Promise<string>;
  close(call: Call, root: string): Promise<void>;
  /**
   * Opens the root directory of a running process as the process sees it, with all that is mounted there; `close` closes it. `cgroup`: a
   * name in the path of the process's cgroup that no other has, since the kernel uses numbers again. `FailedPrecondition`: it has ended.
   */
  openProcess(call: Call, pid: number, cgroup: string): Promise<string>;

  /** What `path` below `root` is. A link at its end is told, not followed, unless the path ends with `/` or `/.`. `NotFound`. */
  lookUp(call: Call, root: string, path: string): Promise<PathStat>;
  /**
   * What lies at `path` below `root` as a tar, in constant memory; a link at its end as in `lookUp`. What grows or goes meanwhile does no
   * harm.
   */
  pack(call: Call, root: string, path: string, options?: PackOptions): Promise<AsyncIterable<Uint8Array>>;
  /**
   * Lays a tar (plain, or packed with gzip, bzip2, xz or zstd) below the directory `path` of `root`, in constant memory. `InvalidArgument`:
   * `path` is no directory, it is no archive, or a member leads above `path`. What came before stays.
   */
  extract(call: Call, root: string, path: string, tar: AsyncIterable<Uint8Array>, options?: ExtractOptions): Promise<void>;
  /** How the tree `upper` differs from the tree `lower` (null: an empty one), by docker diff's rules: see `Change`. */
  changes(call: Call, lower: string | null, upper: string, options?: ChangesOptions): Promise<AsyncIterable<Change>>;

  /** Applies a layer to the tree at `root`. `InvalidArgument`: not a layer, or one that reaches outside the root. */
  apply(call: Call, root: string, layer: LayerFile, options?: ApplyOptions): Promise<Layer>;
  /** Writes what the tree `upper` changes against the tree `lower` (null: all of it) as a layer; `into.path` must not exist. */
  diff(call: Call, lower: string | null, upper: string, into: LayerFile, options?: DiffOptions): Promise<Layer>;
  /** As `diff`, from an overlay's upper directory alone: its whiteouts and opaque directories become the layer's. */
  diffOverlay(call: Call, upper: string, into: LayerFile, options?: DiffOptions & SinceOptions): Promise<Layer>;

  /**
   * Copies all that makes up a tree (hard links, holes, xattrs, devices, times), with reflinks where the file system has them. Does not
   * cross mounts. `to` must not exist.
   */
  copyTree(call: Call, from: string, to: string, options?: CopyOptions): Promise<void>;
  /**
   * Copies the directory at `path` below `root` (links resolved as inside) into the empty directory `to`, which gets its owner, mode and
   * times too. Answers what there was to copy: `nothing` (no such directory, or `to` is not empty: then nothing was done), `owner` (an
   * empty directory), `content`. `check`: answers only.
   */
  copyInto(
    call: Call,
    root: string,
    path: string,
    to: string,
    options?: Sparse<{ check: boolean }>,
  ): Promise<"nothing" | "owner" | "content">;
  /** Removes all that is in a directory, which stays; as `removeTree`. */
  emptyTree(call: Call, path: string): Promise<void>;
  /**
   * A small file at `path` below `root`, links resolved as inside (openat2, RESOLVE_IN_ROOT). `NotFound`; `ResourceExhausted` above `limit`
   * bytes; `InvalidArgument` for what is no regular file.
   */
  readFile(call: Call, root: string, path: string, limit: number): Promise<Uint8Array>;
  /** Removes a tree, never following a link or crossing a mount; what is gone already is no error. */
  removeTree(call: Call, path: string): Promise<void>;
  /** What a tree takes on disk; hard links count once. */
  usage(call: Call, path: string): Promise<Usage>;
  /** syncfs(2) of the file system that `path` lies on: answers when all that was written there survives a power cut. */
  sync(call: Call, path: string): Promise<void>;

  /** Whether `limitTree` works in the directory `path`: on ext4 and XFS with project quotas (mount option `prjquota`). */
  canLimit(call: Call, path: string): Promise<boolean>;
  /**
   * What the new, empty directories `paths` of one file system hold together takes no more than `bytes` from now on; a write beyond is
   * EDQUOT or ENOSPC. A process with CAP_SYS_RESOURCE may write beyond on ext4, unless it does so through an overlay. `Unsupported`: see
   * `canLimit`.
   */
  limitTree(call: Call, paths: readonly string[], bytes: number): Promise<void>;
  /** Takes away what `limitTree` did, for all of its directories; what has no limit is left alone. */
  unlimitTree(call: Call, path: string): Promise<void>;

  /**
   * Gives a file, or a tree without what is mounted below it, an SELinux label (`user:role:type:level`). Where the file system keeps none,
   * nothing happens. `NotFound`; `InvalidArgument`: the host's policy does not know the label.
   */
  relabel(call: Call, path: string, label: string): Promise<void>;

  /**
   * A seccomp profile (the runtime spec's `linux.seccomp`, as JSON) as the program that seccomp(2) takes for this machine: 8 bytes an
   * instruction. `InvalidArgument` for what is no profile.
   */
  compileSeccomp(call: Call, profile: string): Promise<Uint8Array>;

  /** Runs a helper through the launcher, since the daemon must not fork; killed when the call is canceled. */
  run(call: Call, command: Command): Promise<CommandResult>;

  readonly cgroups: { readonly layout: "v1" | "hybrid" | "v2" };
  /** The processes in a cgroup and below, in the host's numbers; none where there is no such group. `path`: a spec's `cgroupsPath`. */
  cgroupPids(call: Call, path: string): Promise<readonly number[]>;
  /** What a cgroup uses now. `NotFound`. */
  cgroupUsage(call: Call, path: string): Promise<CgroupUsage>;
  /**
   * Sets limits of a cgroup whose processes run; answers what this host does not enforce. `resources`: the runtime spec's
   * `linux.resources`. `NotFound`; `Unsupported`: a controller is missing.
   */
  cgroupUpdate(call: Call, path: string, resources: OciResources): Promise<readonly string[]>;
}

/** Bytes and nanoseconds since the group was made; null or 0 where this host has no such controller. */
export interface CgroupUsage {
  readonly cpuNanoseconds: number;
  readonly cpuUserNanoseconds: number;
  readonly cpuSystemNanoseconds: number;
  readonly cpuPeriods: number;
  readonly cpuThrottledPeriods: number;
  readonly cpuThrottledNanoseconds: number;
  readonly memoryBytes: number;
  readonly memoryPeakBytes: number;
  readonly memoryLimitBytes: number | null;
  /** The kernel's own words (memory.stat). */
  readonly memoryDetail: Readonly<Record<string, number>>;
  readonly memoryFailures: number | null;
  readonly pids: number;
  readonly pidsLimit: number | null;
  readonly block: readonly { readonly major: number; readonly minor: number; readonly read: number; readonly written: number }[];
  readonly oomKills: number;
}

export interface PathStat {
  /** As stat(2) has it, with the kind. */
  readonly mode: number;
  readonly size: number;
  readonly mtime: { readonly seconds: number; readonly nanoseconds: number };
  /** Where a link leads, absolute and below the root; as far as it goes where it leads nowhere. Null: no link. */
  readonly target: string | null;
}
export type PackOptions = Sparse<{
  /**
   * What the first member is called (a root that is called nothing has members with a leading slash); left out: what is in the directory,
   * each by its own name.
   */
  name: string;
  /** Into what is mounted below too (but not what the kernel makes up: proc, sysfs …); else something empty stands for it. */
  acrossMounts: boolean;
  /** Owners are told as those of the container, in whose user namespace the tree is mounted. */
  idMaps: IdMaps;
}>;
export type ExtractOptions = Sparse<{
  /** A directory is not replaced by what is none, nor the other way round: `InvalidArgument`. */
  keepKinds: boolean;
  /** Whose all of it becomes; left out: whose the archive says. */
  owner: { readonly uid: number; readonly gid: number };
  /** The archive's owners are those of the container, in whose user namespace the tree is mounted. */
  idMaps: IdMaps;
}>;
export type ChangesOptions = Sparse<{
  /** `upper` is an overlay's upper directory: its changes alone, with the overlay's own marks. */
  overlay: boolean;
}> &
  SinceOptions &
  DiffOptions;
/** Of an overlay's upper directory. */
export type SinceOptions = Sparse<{
  /**
   * Another upper directory over the same lower ones, of which it began as a copy: only what changed after that counts. For `changes` the
   * tree `lower` shows it.
   */
  since: string;
}>;

export type CopyOptions = Sparse<{
  /** Absolute paths below `from` that are left out, with all below them. */
  exclude: readonly string[];
}>;

export type ApplyOptions = Sparse<{
  /**
   * `remove` (the default): a whiteout removes what lies at `root`. `overlay`: `root` is an overlay's upper directory, and a whiteout
   * becomes the overlay's own (a 0:0 character device, `trusted.overlay.opaque`).
   */
  whiteouts: "remove" | "overlay";
  /**
   * With `overlay`: the lower directories, the topmost first. A parent directory or a hard link's target that the layer leaves out comes
   * from there, as a write through the mounted overlay would bring it. Left out: not known yet, so every whiteout is kept and nothing is
   * brought.
   */
  parents: readonly string[];
}>;
