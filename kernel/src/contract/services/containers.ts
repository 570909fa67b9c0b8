/**
 * Containers: records and their lifecycle. One container has one shim. Decisions about one container are made one at a time, by its record
 * at that moment. Waiting for a container's end blocks no other request. A request for a container whose process has just died waits until
 * the end is recorded, ten seconds at most, and is then decided by that record.
 *
 *   created ──start──▶ running ──▶ exited ──start──▶ running …        remove: from created and exited, or by force
 *                        ⇅ paused  ↘ restarting (its policy brings it back) ──▶ running, or by stop, kill, rm -f ──▶ exited
 * A start asks, in this order: storage (read-write layer), launcher (a shim with a network namespace), networks, exec (what to start),
 * launcher (start). If it fails, all of it is undone. `--rm` containers are volatile: they have no durable record and no synced writes,
 * only their directory on tmpfs.
 */
import type { Call } from "../call.ts";
import type { ExitStatus, FormatOption } from "../exec.ts";
import type { CgroupUsage } from "../host.ts";
import type { ShimClient, ShimLog, WindowSize } from "../launcher.ts";
import type { PortMap } from "../network.ts";
import type { ActiveKey, IdMaps } from "../storage.ts";
import type { ContainerId, Digest, ExecId, Sparse, Strings } from "../words.ts";
import type { Health, HealthCheck, HealthRequest, OnUnhealthy } from "./health.ts";
import type { PullProgress } from "./images.ts";
import type { MigrationOptions, MigrationPlan, StorageUse } from "./migration.ts";
import type { MountPoint, MountRequest, VolumesFrom } from "./mounts.ts";
import type { EndpointRecord } from "./networks.ts";

/** The user's request, complete: the API fills in the defaults. Sizes in bytes. */
export interface ContainerConfig {
  readonly image: string;
  readonly entrypoint: readonly string[] | null;
  readonly command: readonly string[] | null;
  readonly env: readonly string[];
  readonly workingDirectory: string;
  readonly user: string;
  readonly hostname: string;
  readonly domainname: string;
  readonly terminal: boolean;
  readonly openStdin: boolean;
  readonly stdinOnce: boolean;
  readonly attach: { readonly stdin: boolean; readonly stdout: boolean; readonly stderr: boolean };
  readonly labels: Strings;
  readonly stopSignal: string;
  readonly stopTimeout: number;
  readonly exposedPorts: readonly string[];
  readonly autoRemove: boolean;
  readonly platform: string | null;
  readonly storage: string | null;
  readonly exec: string | null;
  readonly network: string;
  /** Further networks that it joins. */
  readonly networks: readonly NetworkWish[];
  readonly ports: readonly PortMap[];
  /** Every exposed port gets a free port of the host. */
  readonly publishAll: boolean;
  /** In the network `network`; null: the engine picks it. */
  readonly address: string | null;
  readonly mac: string | null;
  readonly extraHosts: readonly string[];
  readonly dns: { readonly servers: readonly string[]; readonly search: readonly string[]; readonly options: readonly string[] };
  readonly mounts: readonly MountRequest[];
  readonly volumesFrom: readonly VolumesFrom[];
  /** Targets of anonymous volumes, if nothing else is mounted there; the image's own are among them. */
  readonly volumes: readonly string[];
  readonly readOnlyRoot: boolean;
  readonly privileged: boolean;
  readonly capAdd: readonly string[];
  readonly capDrop: readonly string[];
  readonly securityOptions: readonly string[];
  readonly resources: Resources;
  readonly shmSize: number;
  /** The first process is the engine's init: it reaps orphans and forwards signals to the command. */
  readonly init: boolean;
  readonly restart: RestartPolicy;
  /** Null: the image's health check applies. */
  readonly healthRequest: HealthRequest | null;
  /** The health check that results from it, decided at the container's creation. */
  readonly healthCheck: HealthCheck | null;
  readonly onUnhealthy: OnUnhealthy;
  /** The shell for a `CMD-SHELL`; null: /bin/sh -c. */
  readonly shell: readonly string[] | null;
  readonly isolation: Isolation;
  /** Names or numbers of supplementary groups, looked up in the container's own /etc/group. */
  readonly groupAdd: readonly string[];
  readonly ulimits: readonly Ulimit[];
  readonly sysctls: Strings;
  readonly devices: readonly DeviceMap[];
  readonly deviceRequests: readonly DeviceRequest[];
  /** Settings in words of the exec driver's own (its power `options`). */
  readonly formatOptions: readonly FormatOption[];
  /** `c 10:229 rwm`: type, major and minor (or `*`), access. */
  readonly deviceRules: readonly string[];
  readonly oomScoreAdj: number;
  /** Null: Docker's list; empty: no paths. */
  readonly maskedPaths: readonly string[] | null;
  readonly readonlyPaths: readonly string[] | null;
  /** A cgroup of the operator, as parent of the container's cgroup; "": the engine's own. */
  readonly cgroupParent: string;
  /** Passed unchanged to the OCI runtime and to hooks. */
  readonly annotations: Strings;
  /** Bytes that the read-write layer may hold; needs a storage driver with the power `quota`. */
  readonly quotaBytes: number | null;
  /** A driver's id, "" for the host's default; `create` fills it in, with the operator's options. */
  readonly log: { readonly driver: string; readonly options: Strings };
  /** Docker's JSON of the request, for inspect: it keeps the members that the fields above do not cover. */
  readonly raw: { readonly config: Readonly<Record<string, unknown>>; readonly hostConfig: Readonly<Record<string, unknown>> };
}
/** `maximumRetryCount` of `on-failure`; 0: no limit. */
export interface RestartPolicy {
  readonly name: "no" | "on-failure" | "always" | "unless-stopped";
  readonly maximumRetryCount: number;
}
/**
 * Where each namespace comes from. "private": the container's own; "host": the host's; "container:ID": that of a running container. `ipc`
 * has two more: "shareable", a private one that other containers may join, and "none", without /dev/shm. `user` is "host" unless requested
 * otherwise; "private" maps the container's root to a range of ids that is unique on the host.
 */
export interface Isolation {
  readonly ipc: string;
  readonly pid: string;
  readonly uts: string;
  readonly cgroup: string;
  readonly user: string;
  /** Offsets of the monotonic and the boot-time clock, in nanoseconds; null: the host's clocks. */
  readonly time: { readonly monotonic: number; readonly boottime: number } | null;
}
/** `soft` and `hard` as in setrlimit(2), -1 for no limit; `name` as in docker: `nofile`. */
export interface Ulimit {
  readonly name: string;
  readonly soft: number;
  readonly hard: number;
}
/** A device node of the host, or a directory of nodes; `access`: r, w and m. */
export interface DeviceMap {
  readonly source: string;
  readonly target: string;
  readonly access: string;
}
/**
 * Devices that are not given by path; they are looked up at each start. Driver `cdi`: `ids` are CDI's full names (`vendor.com/class=name`).
 * Driver "": any device with the capabilities, as `--gpus` asks.
 */
export interface DeviceRequest {
  readonly driver: string;
  /** -1: all devices. If there are `ids`, those count. */
  readonly count: number;
  readonly ids: readonly string[];
  /** Alternative sets; all capabilities of one of them are required. */
  readonly capabilities: readonly (readonly string[])[];
}
/** A limit of one block device, by its path on the host: bytes or operations a second, or a weight. */
export interface DeviceLimit {
  readonly path: string;
  readonly value: number;
}
/** Null: no limit. */
export interface Resources {
  readonly memory: number | null;
  readonly memorySwap: number | null;
  readonly memoryReservation: number | null;
  readonly cpuShares: number | null;
  readonly cpuQuota: number | null;
  readonly cpuPeriod: number | null;
  readonly cpusetCpus: string | null;
  readonly cpusetMems: string | null;
  readonly cpuRealtimePeriod: number | null;
  readonly cpuRealtimeRuntime: number | null;
  /** 0 to 100; only in cgroup v1. */
  readonly memorySwappiness: number | null;
  readonly oomKillDisable: boolean;
  readonly pids: number | null;
  /** 10 to 1000. */
  readonly blockWeight: number | null;
  readonly blockWeightDevices: readonly DeviceLimit[];
  readonly blockReadBytes: readonly DeviceLimit[];
  readonly blockWriteBytes: readonly DeviceLimit[];
  readonly blockReadOperations: readonly DeviceLimit[];
  readonly blockWriteOperations: readonly DeviceLimit[];
  /** Bytes by page size: `2MB`. */
  readonly hugepages: Readonly<Record<string, number>>;
}

export type ContainerStatus = "created" | "running" | "paused" | "restarting" | "exited" | "removing" | "dead";

export interface Container {
  readonly id: ContainerId;
  readonly name: string;
  readonly createdAt: number;
  readonly config: ContainerConfig;
  readonly imageId: Digest;
  /** The image's familiar name, as the user typed it. */
  readonly imageName: string;
  readonly platform: string;
  /** The container's drivers; they never change. */
  readonly drivers: { readonly storage: string; readonly exec: string };
  readonly layer: ActiveKey;
  readonly mounts: readonly MountPoint[];
  /** The networks that its next start joins; the first one has the default route. */
  readonly networks: readonly NetworkWish[];
  readonly argv: readonly string[];
  readonly status: ContainerStatus;
  readonly pid: number | null;
  readonly startedAt: number | null;
  readonly exit: ExitStatus | null;
  /** Why the container is not running when it should be. */
  readonly error: string;
  /** Restarts since a user last started it. */
  readonly restartCount: number;
  readonly restart: RestartState;
  /** Null: the container has no health check. */
  readonly health: Health | null;
  readonly endpoints: readonly EndpointRecord[];
  /** The ids of the host for the container's ids, while it runs in a user namespace. */
  readonly idMaps: IdMaps | null;
  /** Null: its processes and files have no SELinux labels of their own. */
  readonly selinux: SelinuxLabels | null;
  readonly log: ContainerLog;
  readonly warnings: readonly string[];
}

/** The file that the container's monitor writes. */
export interface ContainerLog extends ShimLog {
  /** Whether the engine sends the file's content to the container's log driver. Left out by older versions, which sent none. */
  readonly sent?: boolean;
}

/** `user:role:type:level`. */
export interface SelinuxLabels {
  readonly process: string;
  /** The label of its files. */
  readonly mount: string;
}

/** A network by name, and the requested address and MAC there. */
export interface NetworkWish {
  readonly network: string;
  readonly address: string | null;
  readonly mac: string | null;
}
export interface RestartState {
  /** A user has stopped it since it was last started. */
  readonly stopped: boolean;
  /** Milliseconds of the last delay before a restart; 0: no delay since it last ran well. */
  readonly backoff: number;
  /** The container was unhealthy: when its current end is done, it is started again, whatever its policy. */
  readonly wanted: boolean;
  /** When a `restarting` container starts. */
  readonly at: number | null;
}

/** The report of a start. Warnings are sentences for the user about requests that the host did not grant (a limit above the host's own). */
export interface StartReport {
  readonly timings: Timings;
  readonly warnings: readonly string[];
}

/** Milliseconds of the phases of a start, in their order: the output of `run --timings`. */
export type Timings = readonly (readonly [string, number])[];

export interface StartOptions {
  /** A local client whose descriptors are attached from the first byte on. */
  readonly client: ShimClient & { readonly size: WindowSize | null };
  /** The terminal's initial size. Left out: the client's, or 24 rows of 80 columns. */
  readonly size: WindowSize;
}

export interface LogOptions {
  /** Continue until the container ends, or until `until`. */
  readonly follow: boolean;
  /** The number of last lines, counted before lines are left out by stream or time. */
  readonly tail: number;
  /** Like `LogPart.at`; both are inclusive. */
  readonly since: string;
  readonly until: string;
  readonly stdout: boolean;
  readonly stderr: boolean;
}
/** Whole lines of one stream that were written at one time. */
export interface LogPart {
  readonly stream: "stdout" | "stderr";
  /** Nanoseconds since the epoch, as decimal digits. */
  readonly at: string;
  /** One or more lines with their newlines; the container's last line may lack one. */
  readonly lines: Uint8Array;
}

/**
 * One more process in a running container. `execCreate` creates it, it is started once, and it is kept for a while after its end; an exec
 * that is never started goes with the container's end. A daemon that replaces a dead one knows the execs that still run by id alone.
 */
export interface ExecConfig {
  readonly argv: readonly string[];
  /** Overrides the container's variables by name; a name without `=` removes the variable. */
  readonly env: readonly string[];
  /** "": the container's. */
  readonly workingDirectory: string;
  /** "": the container's. */
  readonly user: string;
  readonly terminal: boolean;
  readonly size: WindowSize | null;
  readonly privileged: boolean;
  readonly attach: { readonly stdin: boolean; readonly stdout: boolean; readonly stderr: boolean };
  /** Null: Docker's. */
  readonly detachKeys: readonly number[] | null;
  /**
   * An image whose tree is this process's root instead of the container's, which is not changed: for tools that the container lacks. The
   * container's files are below /proc/PID/root.
   */
  readonly tools: string | null;
}
export interface Exec {
  readonly id: ExecId;
  readonly container: ContainerId;
  readonly config: ExecConfig;
  readonly status: "created" | "running" | "ended";
  readonly pid: number | null;
  /** For an exec that could not be started: 127 if there is no such command, else 126. */
  readonly exitCode: number | null;
}
export interface ExecOutcome {
  readonly exitCode: number;
  /** Standard output and error in the order of their arrival, up to the limit. */
  readonly output: Uint8Array;
}

export interface ProcessTable {
  readonly titles: readonly string[];
  readonly processes: readonly (readonly string[])[];
}
export interface ContainerUsage extends CgroupUsage {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly interfaces: Readonly<Record<string, InterfaceUsage>>;
  /** The host: processor time of all processes since the boot, the number of online processors, memory. */
  readonly host: { readonly cpuNanoseconds: number; readonly cpus: number; readonly memoryBytes: number };
}
export interface InterfaceUsage {
  readonly received: Traffic;
  readonly sent: Traffic;
}
export interface Traffic {
  readonly bytes: number;
  readonly packets: number;
  readonly errors: number;
  readonly dropped: number;
}
export interface ContainerChanges {
  readonly resources: Resources;
  readonly restart: RestartPolicy;
  /** Like `ContainerConfig.raw`. */
  readonly hostConfig: Readonly<Record<string, unknown>>;
}

export interface ContainersService {
  /** Who manages the cgroup tree: the engine itself, or the host's systemd. */
  readonly cgroupDriver: "cgroupfs" | "systemd";
  /** The user namespace of containers that request none. */
  readonly userns: "host" | "private";
  /** Whether containers have SELinux labels. */
  readonly selinux: boolean;
  /** The directories of CDI specs, the most important last, and the full names of the available devices. */
  cdi(call: Call): Promise<{ readonly directories: readonly string[]; readonly devices: readonly string[] }>;
  /**
   * `AlreadyExists`: the name is taken; `NotFound`: no such image. `name` null: a name is generated. The container survives a power cut
   * when this answers; with `starting`, when the caller's `start` answers, which comes next.
   */
  create(call: Call, name: string | null, config: ContainerConfig, options?: Sparse<{ starting: boolean }>): Promise<Container>;
  /**
   * `FailedPrecondition`: it runs already; `Conflict`: it is being removed. After a failure the container is as before (`created`, with
   * `error`), or gone if it is `--rm`.
   */
  start(call: Call, id: ContainerId, options: Sparse<StartOptions>): Promise<StartReport>;
  /** By id, name, or prefix of an id. `NotFound` (`No such container: x`); `InvalidArgument` if the prefix is ambiguous. */
  get(call: Call, reference: string): Promise<Container>;
  list(call: Call): Promise<readonly Container[]>;
  /**
   * Sends the stop signal, then SIGKILL after `timeout` seconds (-1: never). Answers when the container has ended; its restart policy does
   * not restart it then. A `restarting` container becomes `exited` at once. Not running: `FailedPrecondition`.
   */
  stop(call: Call, id: ContainerId, options: Sparse<{ timeout: number; signal: number }>): Promise<void>;
  /** Stops the container if it runs, and starts it; a `--rm` container is not removed in between. */
  restart(call: Call, id: ContainerId, options: Sparse<{ timeout: number; signal: number }>): Promise<void>;
  /**
   * SIGKILL and the stop signal count as a stop by the user. After SIGKILL, this answers when the container has ended; `DeadlineExceeded`
   * if it has not after ten seconds.
   */
  kill(call: Call, id: ContainerId, signal: number): Promise<void>;
  pause(call: Call, id: ContainerId): Promise<void>;
  resume(call: Call, id: ContainerId): Promise<void>;
  rename(call: Call, id: ContainerId, name: string): Promise<void>;
  resize(call: Call, id: ContainerId, size: WindowSize): Promise<void>;
  /**
   * Answers when the condition holds, unless the call is canceled before. `not-running`: at once if it does not run; `next-exit`: its next
   * end; `removed`: its removal.
   */
  wait(call: Call, id: ContainerId, condition: "not-running" | "next-exit" | "removed"): Promise<ExitStatus>;
  /** Answers when the client has all output of the container (at once if the client was never attached). */
  flushed(call: Call, id: ContainerId, client: number): Promise<"flushed" | "detached">;
  /**
   * A running container gets another interface at once. `PermissionDenied`: it is on that network already, or has no network namespace of
   * its own.
   */
  connectNetwork(call: Call, id: ContainerId, wish: NetworkWish): Promise<void>;
  /** If this network had the default route, the container's next one gets it. `force`: a network that is not connected is no error. */
  disconnectNetwork(call: Call, id: ContainerId, network: string, options: Sparse<{ force: boolean }>): Promise<void>;
  /** `Conflict` while it runs, unless forced, and while another removal is running. No start begins during a removal. */
  remove(call: Call, id: ContainerId, options: Sparse<{ force: boolean; volumes: boolean }>): Promise<void>;
  /**
   * Opens the container's files for the toolkit's verbs: as its processes see them while it runs, otherwise its layer with its volumes. A
   * container that is opened for `write` while it does not run can't start until `closeFiles`.
   */
  openFiles(call: Call, id: ContainerId, use: "read" | "write"): Promise<string>;
  closeFiles(call: Call, root: string): Promise<void>;
  /**
   * The user of its processes, by the passwd and group files below `root`, which `openFiles` has opened. Null: neither the container's
   * config nor its image names a user. `InvalidArgument`: the files have no user of that name.
   */
  userIn(call: Call, id: ContainerId, root: string): Promise<{ readonly uid: number; readonly gid: number } | null>;
  /**
   * The path of the socket that carries its stdio in Docker's framing. A container that does not run yet gets its shim now, and `start`
   * finds it.
   */
  attachSocket(call: Call, id: ContainerId, exec?: ExecId): Promise<string>;
  /** Attaches a local client to a running container. */
  attach(call: Call, id: ContainerId, client: ShimClient): Promise<void>;
  detach(call: Call, id: ContainerId, client: number): Promise<void>;
  /** `FailedPrecondition`: it does not run or is paused; `InvalidArgument`: there is no command. */
  execCreate(call: Call, id: ContainerId, config: ExecConfig): Promise<Exec>;
  /**
   * Answers when the process runs. It is joined to the local client, and to clients that connected to the socket of `attachSocket` for this
   * exec before. `Conflict`: it was started already; `CommandNotFound` and `NotExecutable`: the command is at fault; `FailedPrecondition`:
   * the container is paused, or has ended.
   */
  execStart(call: Call, exec: ExecId, options: Sparse<{ client: ShimClient; size: WindowSize }>): Promise<Timings>;
  /** `NotFound`: `No such exec instance`; its container may have been removed. */
  execGet(call: Call, exec: string): Promise<Exec>;
  /** The execs of one container that have not ended. */
  execList(call: Call, id: ContainerId): Promise<readonly Exec[]>;
  execResize(call: Call, exec: ExecId, size: WindowSize): Promise<void>;
  /** Answers the exit code when the process has ended; a client's output may still be on its way (`flushed`). */
  execWait(call: Call, exec: ExecId): Promise<number>;
  /**
   * Runs a command to its end, with empty input, and answers the first `limit` bytes of its output. If the call ends before, by its
   * deadline or otherwise, the process is killed and the call's reason thrown. Errors as in `execCreate` and `execStart`.
   */
  execRun(
    call: Call,
    id: ContainerId,
    command: Pick<ExecConfig, "argv"> & Sparse<Pick<ExecConfig, "env" | "workingDirectory" | "user">>,
    limit: number,
  ): Promise<ExecOutcome>;
  /**
   * The output of the host's ps(1) with these arguments, for the container's processes alone. `FailedPrecondition`: it does not run;
   * `InvalidArgument`: the output has no column PID.
   */
  top(call: Call, id: ContainerId, psArguments: readonly string[]): Promise<ProcessTable>;
  /** The current resource usage; null if the container does not run. */
  usage(call: Call, id: ContainerId): Promise<ContainerUsage | null>;
  /** Changes the given fields, whether the container runs or not; answers warnings. After a failure the record is as it was. */
  update(call: Call, id: ContainerId, changes: Sparse<ContainerChanges>): Promise<readonly string[]>;
  logs(call: Call, id: ContainerId, options: Sparse<LogOptions>): Promise<AsyncIterable<LogPart>>;
  /** What each usable storage driver holds, the preferred one first. */
  storageUse(call: Call): Promise<readonly StorageUse[]>;
  /** What `migrate` would do. `DriverMissing`; `InvalidArgument`: both are the same driver. */
  planMigration(call: Call, options: MigrationOptions): Promise<MigrationPlan>;
  /**
   * Moves all images and containers to another storage driver, which becomes the host's choice if the other one was. Answers progress. A
   * container changes its driver when its layer is on disk there; so after an error, a crash or a cancellation each container is whole in
   * one of the two, and the next call goes on. `FailedPrecondition`: one of `MigrationPlan.refusals`; then nothing was done. `Conflict`: a
   * migration is running.
   */
  migrate(call: Call, options: MigrationOptions): Promise<AsyncIterable<PullProgress>>;
}

declare module "../plugin.ts" {
  interface Services {
    containers: ContainersService;
  }
}
