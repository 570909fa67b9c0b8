/**
 * An exec driver is a container format: it turns an OCI runtime spec into a running, isolated process. It says what to start, and the
 * engine's shim starts it. So stdio, terminals, logs, attach, waiting and exit codes are the same for every format, and survive the daemon.
 * A driver of *processes* (native, runc, lxc) needs nothing else: the shim sends signals, pauses, measures, limits and runs execs; such a
 * driver offers a verb only where the format does it better. A driver whose processes the host can't see (a virtual machine, a kernel of
 * its own) offers the verbs that it has, and the rest is refused.
 *
 * - Start: namespaces are made → networks are attached → `plan` → a child of the shim makes the root file system's mounts in a slave mount
 *   namespace and runs the launch there → the first process runs; or it doesn't, and `explain` says why.
 * - End: the shim reaps (also orphans: it knows its own process by `pidFile`), writes the exit status to disk, notifies the daemon →
 *   `ended`; and `delete`, when the container is removed.
 * - After a daemon's death: shims continue; `list` answers the containers that the format itself still knows, and `delete` ends and forgets
 *   a container that the engine does not know.
 *
 * A container starts, its daemon dies and plans again, the container ends:
 *
 * ```ts
 * const bundle = { id, directory, spec, rootfs };
 * const launch = await driver.plan(call, bundle);
 * // Who starts it is the shim: by its own runtime, or by the commands of another one.
 * expect(launch.kind === "oci" || launch.steps.length > 0, true);
 * // Nothing has been started yet, so a plan may be asked for again.
 * expect(await driver.plan(call, bundle), launch);
 *
 * // The shim has reaped the first process, and written how it ended.
 * await driver.delete(call, id);
 * for await (const left of await driver.list(call)) expect(left === id, false);
 * ```
 */
import type { Call } from "./call.ts";
import type { Driver } from "./driver.ts";
import type { ErrorCode } from "./error.ts";
import type { Command } from "./host.ts";
import type { OciResources } from "./oci-resources.ts";
import type { Mount } from "./storage.ts";
import type { ContainerId, ExecId, Sparse, Strings } from "./words.ts";

export interface ExecDriver extends Driver<ExecPowers> {
  /**
   * Writes only below `bundle.directory`, and may be repeated. A spec that the format can't express is `Unsupported` with the field's name.
   */
  plan(call: Call, bundle: Bundle): Promise<Launch>;
  delete(call: Call, id: ContainerId): Promise<void>;
  list(call: Call): Promise<AsyncIterable<ContainerId>>;
}

export interface ExecPowers {
  exec: Execs;
  kill: Kills;
  pause: Pauses;
  update: Updates;
  stats: Stats;
  explain: Explains;
  ended: Ends;
  options: TakesOptions;
  /** The container's processes are processes of the host. */
  processes: unknown;
  /** `process.terminal` may be true. */
  terminal: unknown;
  /** Needs no root. */
  rootless: unknown;
}

/**
 * `directory` is the container's own, on tmpfs, until `delete`. `spec` is complete: it names the namespaces that were made before (user
 * first, then network …) by path.
 */
export interface Bundle {
  readonly id: ContainerId;
  readonly directory: string;
  readonly spec: OciSpec;
  readonly rootfs: readonly Mount[];
  /** Needs the power `options`; they were checked when the container was made. Left out: none. */
  readonly options?: readonly FormatOption[];
}

/** One setting in the format's own words. */
export interface FormatOption {
  readonly key: string;
  readonly value: string;
}

/**
 * What the shim starts: a spec for its own OCI runtime, or the command of another runtime. `rootfs` is the directory where the shim mounts
 * `bundle.rootfs` first; null: the format mounts it by itself. A spec may carry its seccomp filter compiled (`HostToolkit.compileSeccomp`):
 * then the annotation `io.tsbox.seccomp-filter` names the file, and `linux.seccomp` is left out.
 */
export type Launch = { readonly kind: "oci"; readonly spec: OciSpec } | (LaunchCommand & { readonly rootfs: string | null });
/**
 * The commands of another runtime. They run in a child of the shim, which has mounted the root in a mount namespace of its own; the shim is
 * the subreaper of whatever they leave running.
 */
export interface LaunchCommand {
  readonly kind: "command";
  /** Run one after another; each must exit with 0: [runc create, runc start]. */
  readonly steps: readonly LaunchStep[];
  /** The cgroup of the first process, as `linux.cgroupsPath` of the spec names it. Null, for an exec alone: the container's. */
  readonly cgroup: string | null;
  /** Docker's files that programs look for (`/.dockerenv`) are made in the root first: the spec's annotation `io.tsbox.own-files`. */
  readonly ownFiles: boolean;
  /** Directories and empty files that the root gets first if it lacks them: mount points, the working directory. */
  readonly directories: readonly string[];
  readonly files: readonly string[];
  /**
   * The ids on the host, in a user namespace that was made before: of its root, who gets the files that are made, and of the process's
   * user, who gets the standard streams. Null: the container has the host's ids, or the format makes the namespace.
   */
  readonly owners: Owners | null;
  /** Mounts of the spec that the shim makes below the root first, so that the format finds them there. An exec has none. */
  readonly mounts: readonly OciMount[];
  /** The shim makes the root read-only, after all that, and not what is mounted there. False: the format does, if the spec says so. */
  readonly readOnlyRoot: boolean;
  /**
   * The file to which a step writes the pid of the first process, at its end or, if it `stays`, before. Null: the last step is itself the
   * first process.
   */
  readonly pidFile: string | null;
  /**
   * The last step goes on beside the container as its monitor, and is the parent of the first process. False: all steps end, and the shim
   * adopts the first process.
   */
  readonly stays: boolean;
  /**
   * The first process executes `HostToolkit.program` (as `tsbox-enter`) before the container's command. It needs descriptor 100 and the
   * variables that native/runtime/src/enter.rs names; it takes the terminal, and says when the command runs or why it can't. False: the
   * steps end when the command runs, or the last one is the command.
   */
  readonly enter: boolean;
  /**
   * The socket to which the step with `stdio` sends its terminal (OCI runtime command line). Null: the shim gives the
   * steps with `stdio` a terminal.
   */
  readonly consoleSocket: string | null;
  /** The file in which the commands report their errors, for `explain`. */
  readonly report: string | null;
}
export interface Owners {
  readonly root: { readonly uid: number; readonly gid: number };
  /** A uid. */
  readonly process: number;
}
export interface LaunchStep extends Command {
  /** It has the container's standard streams. The others have none, and what they write to stderr is quoted when they fail. */
  readonly stdio: boolean;
  /** It begins when the container's networks are attached. */
  readonly held: boolean;
}

/** One more process in a running container, whose first process is `pid`. */
export interface ExecBundle {
  readonly id: ExecId;
  readonly container: ContainerId;
  readonly pid: number;
  readonly directory: string;
  readonly process: OciProcess;
}

/**
 * What the shim starts for an exec: a process that it joins to the container by itself, with `filter` as the file of the container's
 * compiled seccomp filter; a process beside the container, with its own root and the namespaces that its spec names by path; or the command
 * of another runtime.
 */
export type ExecLaunch =
  | { readonly kind: "oci"; readonly process: OciProcess; readonly filter: string | null }
  | { readonly kind: "beside"; readonly spec: OciSpec; readonly rootfs: readonly Mount[]; readonly filter: string | null }
  | LaunchCommand;

export interface Execs {
  planExec(call: Call, exec: ExecBundle): Promise<LaunchCommand>;
}
/**
 * The first process has ended, or a start has failed; the container itself stays, and may be started again. Frees what the format keeps of
 * the start. A format that keeps nothing lacks this power.
 */
export interface Ends {
  ended(call: Call, id: ContainerId): Promise<void>;
}
/**
 * The user may set what the OCI spec has no words for, in words of the format's own configuration (`--lxc-conf`).
 */
export interface TakesOptions {
  /**
   * Called when a container is created. `InvalidArgument` names the first option that the driver does not take: because it is none, because
   * the engine sets it itself, or because it leads out of a container that is not `privileged`.
   */
  checkOptions(call: Call, options: readonly FormatOption[], container: { readonly privileged: boolean }): Promise<void>;
}
/**
 * Reads the report: why nothing started (the user sees 125, 126 or 127 and this message), or the exit code that the host could not see (the
 * process is no child of the shim, and its pidfd did not report it).
 */
export interface Explains {
  explain(call: Call, report: string): Promise<{ readonly code: ErrorCode; readonly message: string } | { readonly exitCode: number }>;
}
export interface Kills {
  kill(call: Call, id: ContainerId, signal: number, options?: Sparse<{ all: boolean }>): Promise<void>;
}
export interface Pauses {
  pause(call: Call, id: ContainerId): Promise<void>;
  resume(call: Call, id: ContainerId): Promise<void>;
}
export interface Updates {
  update(call: Call, id: ContainerId, resources: OciResources): Promise<void>;
}
export interface Stats {
  stats(call: Call, id: ContainerId): Promise<ContainerStats>;
}
export interface ContainerStats {
  readonly cpuNanoseconds: number;
  readonly memoryBytes: number;
  readonly pids: number;
  readonly [key: string]: unknown;
}

/**
 * How a first process ended. `code` is the shell's exit code: 128 + signal if a signal ended it. `unknown`: the kernel did not tell the
 * shim the code of a process that is not its child; the engine asks the format (`explain`) before it tells anybody.
 */
export interface ExitStatus {
  readonly code: number;
  readonly signal: number | null;
  readonly outOfMemory: boolean;
  readonly at: number;
  readonly unknown?: boolean;
}

/** The runtime spec's config.json, as far as the engine itself reads it. */
export interface OciSpec {
  readonly ociVersion: string;
  readonly process: OciProcess;
  readonly hostname?: string;
  readonly mounts?: readonly OciMount[];
  readonly annotations?: Strings;
  readonly linux?: OciLinux;
  readonly [key: string]: unknown;
}
export interface OciProcess {
  readonly args: readonly string[];
  readonly env?: readonly string[];
  readonly cwd: string;
  readonly terminal?: boolean;
  readonly [key: string]: unknown;
}
export interface OciMount {
  readonly destination: string;
  readonly type?: string;
  readonly source?: string;
  readonly options?: readonly string[];
  /** The ids that its files appear with. */
  readonly uidMappings?: readonly OciIdMapping[];
  readonly gidMappings?: readonly OciIdMapping[];
}
export interface OciIdMapping {
  readonly containerID: number;
  readonly hostID: number;
  readonly size: number;
}
export interface OciLinux {
  readonly namespaces?: readonly { readonly type: string; readonly path?: string }[];
  readonly resources?: OciResources;
  readonly cgroupsPath?: string;
  readonly [key: string]: unknown;
}
