/**
 * An exec driver is a container format: it knows how to turn an OCI runtime spec into a running, isolated process. It says what to start
 * and the engine's shim starts it; so stdio, terminals, logs, attach, waiting and exit codes are the same for every format and survive the
 * daemon. A driver of *processes* (native, runc, lxc) is done with that: the shim signals, freezes, weighs, limits and joins them; it
 * offers a verb only where the format does better. One whose processes the host can't see (a virtual machine, a kernel of its own) offers
 * the verbs that it has, and the rest is refused.
 *
 * Starting:  namespaces made → networks attached → `plan` → a child of the shim makes the root file system's mounts in a slave mount
 * namespace
 *            and runs the launch there → the first process runs; or it doesn't, and `explain` says why.
 * Ending:    the shim reaps (strangers too: it knows its own by `pidFile`), writes the exit status to disk, tells the daemon → `delete`.
 * After a daemon's death: shims go on; `list` says what the format itself still knows, and `delete` ends and forgets a container that
 * nobody remembers.
 *
 * A container starts, its daemon dies and asks again, it ends:
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
   * Writes below `bundle.directory` at most, and may be asked again. A spec that the format can't express is `Unsupported` with the field's
   * name.
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
  /** The container's processes are the host's own. */
  processes: unknown;
  /** `process.terminal` may be true. */
  terminal: unknown;
  /** Needs no root. */
  rootless: unknown;
}

/**
 * `directory` is the container's own, on tmpfs, until `delete`; `spec` is complete: the namespaces made before (user first, then network …)
 * are in it by path.
 */
export interface Bundle {
  readonly id: ContainerId;
  readonly directory: string;
  readonly spec: OciSpec;
  readonly rootfs: readonly Mount[];
}

/**
 * What the shim starts: a spec that its own OCI runtime carries out, or the command of another runtime. `rootfs` is where the shim mounts
 * `bundle.rootfs` first; null: the format mounts it by itself. A spec may carry its seccomp filter compiled (`HostToolkit.compileSeccomp`):
 * the annotation `io.tsbox.seccomp-filter` then names the file, and `linux.seccomp` is left out.
 */
export type Launch = { readonly kind: "oci"; readonly spec: OciSpec } | (LaunchCommand & { readonly rootfs: string | null });
export interface LaunchCommand {
  readonly kind: "command";
  /** One after another; each that leaves must leave with 0: [runc create, runc start], [lxc-start -F]. */
  readonly steps: readonly Command[];
  /**
   * The last step stays beside the container as its monitor; false: all leave, and the shim, their subreaper, adopts the process of
   * `pidFile`.
   */
  readonly stays: boolean;
  /** null: the last step is itself the first process. */
  readonly pidFile: string | null;
  /** When it counts as running: a pid written before the format's own exec (lxc) proves nothing yet. */
  readonly runs: "after-steps" | "after-exec";
  /** Where it sends its terminal (OCI runtime command line); null: the shim gives it one as stdio. */
  readonly consoleSocket: string | null;
  /** The file that it explains itself in. */
  readonly report: string | null;
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
 * What the shim starts for it: a process that it joins to the container by itself, `filter` the file of the container's compiled seccomp
 * filter; one beside the container, with a root of its own and the namespaces that its spec names by path; or the command of another
 * runtime.
 */
export type ExecLaunch =
  | { readonly kind: "oci"; readonly process: OciProcess; readonly filter: string | null }
  | { readonly kind: "beside"; readonly spec: OciSpec; readonly rootfs: readonly Mount[]; readonly filter: string | null }
  | LaunchCommand;

export interface Execs {
  planExec(call: Call, exec: ExecBundle): Promise<LaunchCommand>;
}
/**
 * What the report says: why nothing started (a user sees 125, 126 or 127 and this sentence), or the exit code that the host could not see
 * (neither its child, nor told by its pidfd).
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

/** How a first process ended. `code` is what a shell would say: 128 + signal where a signal ended it. */
export interface ExitStatus {
  readonly code: number;
  readonly signal: number | null;
  readonly outOfMemory: boolean;
  readonly at: number;
}

/** runtime-spec config.json, as far as the engine itself looks. */
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
  /** Ids that its files are shown with. */
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
