/**
 * Native code that all drivers share, versioned like any contract: third parties build on this, not on the addon.
 * The contents of layers and of containers' trees are hostile: no method here follows a link out of the root that it was given.
 */
import type { Call } from "./call.ts";
import type { HostBlock } from "./host-block.ts";
import type { HostBtrfs } from "./host-btrfs.ts";
import type { HostNetwork } from "./host-network.ts";
import type { OciResources } from "./oci-resources.ts";
import type { Change, DiffOptions, IdMaps, Layer, LayerFile, Mount, Usage } from "./storage.ts";
import type { Sparse, Strings } from "./words.ts";

export type * from "./host-block.ts";
export type * from "./host-btrfs.ts";
export type * from "./host-network.ts";

export interface Command {
  readonly argv: readonly string[];
  readonly environment: Strings;
  readonly workingDirectory: string;
  /** For its standard input. Left out: that is empty. */
  readonly stdin?: string;
}
export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
}

export interface HostToolkit extends HostNetwork, HostBtrfs, HostBlock {
  /**
   * Opens mounts that are detached from every mount namespace: a crash leaves nothing to clean up, and /proc/mounts shows nothing. The path
   * lives until `close`, or as long as the plugin that opened it; the kernel's `withMounts` pairs the two. A missing target is created; if
   * it can't be written, its mount is left out.
   */
  open(call: Call, mounts: readonly Mount[]): Promise<string>;
  close(call: Call, root: string): Promise<void>;
  /**
   * Opens the root directory of a running process as the process sees it, with all its mounts; `close` closes it. `cgroup`: a part of the
   * path of the process's cgroup that is unique to it, since the kernel reuses pids. `FailedPrecondition`: the process has ended.
   */
  openProcess(call: Call, pid: number, cgroup: string): Promise<string>;

  /**
   * Describes the file at `path` below `root`. A link at the path's end is not followed, unless the path ends with `/` or `/.`. `NotFound`.
   */
  lookUp(call: Call, root: string, path: string): Promise<PathStat>;
  /**
   * Packs the files at `path` below `root` as a tar, in constant memory; a link at the path's end is treated as in `lookUp`. Files that
   * grow or disappear meanwhile do no harm.
   */
  pack(call: Call, root: string, path: string, options?: PackOptions): Promise<AsyncIterable<Uint8Array>>;
  /**
   * Extracts a tar (plain, or compressed with gzip, bzip2, xz or zstd) below the directory `path` of `root`, in constant memory.
   * `InvalidArgument`: `path` is not a directory, the stream is not an archive, or a member leads above `path`. Members before the error
   * stay.
   */
  extract(call: Call, root: string, path: string, tar: AsyncIterable<Uint8Array>, options?: ExtractOptions): Promise<void>;
  /** How the tree `upper` differs from the tree `lower` (null: an empty one), by the rules of docker diff: see `Change`. */
  changes(call: Call, lower: string | null, upper: string, options?: ChangesOptions): Promise<AsyncIterable<Change>>;

  /** Applies a layer to the tree at `root`. `InvalidArgument`: not a layer, or one that reaches outside the root. */
  apply(call: Call, root: string, layer: LayerFile, options?: ApplyOptions): Promise<Layer>;
  /** Writes the changes of the tree `upper` against the tree `lower` (null: all of `upper`) as a layer; `into.path` must not exist. */
  diff(call: Call, lower: string | null, upper: string, into: LayerFile, options?: DiffOptions & SnapshotOptions): Promise<Layer>;
  /** Like `diff`, from an overlay's upper directory alone: its whiteouts and opaque directories become the layer's. */
  diffOverlay(call: Call, upper: string, into: LayerFile, options?: DiffOptions & SinceOptions): Promise<Layer>;

  /**
   * Copies a tree with hard links, holes, xattrs, devices and times, with reflinks where the file system has them. Does not cross mounts.
   * `to` must not exist, or be an empty directory.
   */
  copyTree(call: Call, from: string, to: string, options?: CopyOptions): Promise<void>;
  /** Gives the directory `to` the owner, mode, time and extended attributes of the directory `from`; its contents stay. */
  copyAttributes(call: Call, from: string, to: string): Promise<void>;
  /**
   * Copies the directory at `path` below `root` (links are resolved inside the root) into the empty directory `to`, which also gets its
   * owner, mode and times. Answers what there was to copy: `nothing` (no such directory, or `to` is not empty: nothing was done), `owner`
   * (an empty directory), `content`. `check`: answers without copying.
   */
  copyInto(
    call: Call,
    root: string,
    path: string,
    to: string,
    options?: Sparse<{ check: boolean }>,
  ): Promise<"nothing" | "owner" | "content">;
  /** Removes everything in a directory, by the rules of `removeTree`; the directory itself stays. */
  emptyTree(call: Call, path: string): Promise<void>;
  /**
   * Reads a small file at `path` below `root`; links are resolved inside the root (openat2, RESOLVE_IN_ROOT). `NotFound`;
   * `ResourceExhausted` above `limit` bytes; `InvalidArgument` if it is not a regular file.
   */
  readFile(call: Call, root: string, path: string, limit: number): Promise<Uint8Array>;
  /** Removes a tree, never following a link or crossing a mount. A missing tree is not an error. */
  removeTree(call: Call, path: string): Promise<void>;
  /** The space of a tree on disk; hard links count once. */
  usage(call: Call, path: string): Promise<Usage>;
  /** syncfs(2) of the file system of `path`: when it answers, everything that was written there survives a power cut. */
  sync(call: Call, path: string): Promise<void>;

  /** Whether `limitTree` works in the directory `path`: on ext4 and XFS with project quotas (mount option `prjquota`). */
  canLimit(call: Call, path: string): Promise<boolean>;
  /**
   * Limits the space of the new, empty directories `paths` of one file system, together, to `bytes`; a write beyond that is EDQUOT or
   * ENOSPC. On ext4, a process with CAP_SYS_RESOURCE may write beyond the limit, unless it writes through an overlay. `Unsupported`: see
   * `canLimit`.
   */
  limitTree(call: Call, paths: readonly string[], bytes: number): Promise<void>;
  /** Removes the limit of `limitTree` from all of its directories; a directory without a limit stays as it is. */
  unlimitTree(call: Call, path: string): Promise<void>;

  /**
   * Sets an SELinux label (`user:role:type:level`) on a file, or on a tree without the mounts below it. Does nothing on a file system
   * without labels. `NotFound`; `InvalidArgument`: the host's policy does not know the label.
   */
  relabel(call: Call, path: string, label: string): Promise<void>;

  /**
   * Compiles a seccomp profile (the runtime spec's `linux.seccomp`, as JSON) to the program that seccomp(2) takes on this machine: 8 bytes
   * an instruction. `InvalidArgument`: not a valid profile.
   */
  compileSeccomp(call: Call, profile: string): Promise<Uint8Array>;

  /**
   * Sends datagrams to the unix socket at `path`, in order and without waiting; answers how many of them it has taken, which is fewer if it
   * is full. A datagram that is too long for the socket goes as a sealed memory file, as journald takes it (`asFile`), or is cut.
   * `Unavailable`: nobody listens there.
   */
  sendDatagrams(call: Call, path: string, datagrams: readonly Uint8Array[], options?: Sparse<{ asFile: boolean }>): Promise<number>;

  /** Runs a helper through the launcher, since the daemon must not fork. The helper is killed when the call is canceled. */
  run(call: Call, command: Command): Promise<CommandResult>;

  /**
   * The engine's native program, linked statically, so that it runs in any root. Called by the path of a file `tsbox-enter`, it becomes the
   * command that its arguments name (native/runtime/src/enter.rs); as `tsbox-init`, it is the init process of `--init`.
   */
  readonly program: string;

  readonly cgroups: { readonly layout: "v1" | "hybrid" | "v2" };
  /** The host's pids of the processes in a cgroup and below; empty if there is no such cgroup. `path`: a spec's `cgroupsPath`. */
  cgroupPids(call: Call, path: string): Promise<readonly number[]>;
  /** The current resource usage of a cgroup. `NotFound`. */
  cgroupUsage(call: Call, path: string): Promise<CgroupUsage>;
  /**
   * Changes the limits of a running cgroup; answers those that this host does not enforce. `resources`: the runtime spec's
   * `linux.resources`. `NotFound`; `Unsupported`: a controller is missing.
   */
  cgroupUpdate(call: Call, path: string, resources: OciResources): Promise<readonly string[]>;
}

/** Bytes and nanoseconds since the cgroup was made; null or 0 if this host lacks the controller. */
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
  /** The host kernel's own fields (memory.stat). */
  readonly memoryDetail: Readonly<Record<string, number>>;
  readonly memoryFailures: number | null;
  readonly pids: number;
  readonly pidsLimit: number | null;
  readonly block: readonly { readonly major: number; readonly minor: number; readonly read: number; readonly written: number }[];
  readonly oomKills: number;
}

export interface PathStat {
  /** stat(2)'s mode, with the file type. */
  readonly mode: number;
  readonly size: number;
  readonly mtime: { readonly seconds: number; readonly nanoseconds: number };
  /** The target of a link, absolute and below the root; if it does not exist, as far as it could be resolved. Null: not a link. */
  readonly target: string | null;
}
export type PackOptions = Sparse<{
  /**
   * The name of the first member (an empty name gives members with a leading slash). Left out: the members are the directory's entries,
   * each by its own name.
   */
  name: string;
  /** Includes mounts below (but not the kernel's virtual file systems: proc, sysfs …). Otherwise something empty stands for each. */
  acrossMounts: boolean;
  /** The archive has the container's owner ids, in whose user namespace the tree is mounted. */
  idMaps: IdMaps;
}>;
export type ExtractOptions = Sparse<{
  /** A directory is not replaced by a file, nor a file by a directory: `InvalidArgument`. */
  keepKinds: boolean;
  /** The owner of all files. Left out: the archive's owners. */
  owner: { readonly uid: number; readonly gid: number };
  /** The archive has the container's owner ids, in whose user namespace the tree is mounted. */
  idMaps: IdMaps;
}>;
export type ChangesOptions = Sparse<{
  /** `upper` is an overlay's upper directory: the answer is its changes alone, with the overlay's own marks. */
  overlay: boolean;
}> &
  SinceOptions &
  SnapshotOptions &
  DiffOptions;
/** Options for two trees that are subvolumes of one btrfs. */
export type SnapshotOptions = Sparse<{
  /**
   * The tree `upper` began as a snapshot of `lower`, which has not changed since: only what was changed in `upper` is looked at, as of the
   * last sync of the file system.
   */
  snapshot: boolean;
}>;
/** Options for an overlay's upper directory. */
export type SinceOptions = Sparse<{
  /**
   * Another upper directory over the same lower ones, of which this one began as a copy: only later changes count. For `changes`, the tree
   * `lower` shows it.
   */
  since: string;
}>;

export type CopyOptions = Sparse<{
  /** Absolute paths below `from` that are left out, with everything below them. */
  exclude: readonly string[];
}>;

export type ApplyOptions = Sparse<{
  /**
   * `remove` (the default): a whiteout removes the file below `root`. `overlay`: `root` is an overlay's upper directory, and a whiteout
   * becomes the overlay's own (a 0:0 character device, `trusted.overlay.opaque`).
   */
  whiteouts: "remove" | "overlay";
  /**
   * With `overlay`: the lower directories, the topmost first. A parent directory or a hard link's target that the layer lacks is copied up
   * from there, as a write through the mounted overlay would do. Left out: the parents are not known yet, so every whiteout is kept and
   * nothing is copied up.
   */
  parents: readonly string[];
}>;
