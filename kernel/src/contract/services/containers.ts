/**
 * Containers: records and their lifecycle. One container, one shim; one decision at a time over one container, by its record as it is then.
 * Who waits for an end holds up nobody. A request that meets a container whose process has just died waits until its end is recorded, ten
 * seconds at most, and is decided by that.
 *
 *   created ──start──▶ running ──▶ exited ──start──▶ running …        remove: from created and exited, or by force
 *                        ⇅ paused  ↘ restarting (its policy brings it back) ──▶ running, or by stop, kill, rm -f ──▶ exited
 * A start asks, in this order: storage (read-write layer), launcher (a shim with a network namespace), networks, exec (what to start),
 * launcher (start). When it fails all of it is undone. `--rm` containers are volatile: no durable record, no synced write; they are known
 * by their directory on tmpfs alone.
 */
import type { Call } from "../call.ts";
import type { ExitStatus } from "../exec.ts";
import type { CgroupUsage } from "../host.ts";
import type { ShimClient, ShimLog, WindowSize } from "../launcher.ts";
import type { PortMap } from "../network.ts";
import type { ActiveKey, IdMaps } from "../storage.ts";
import type { ContainerId, Digest, ExecId, Sparse, Strings } from "../words.ts";
import type { Health, HealthCheck, HealthRequest, OnUnhealthy } from "./health.ts";
import type { MountPoint, MountRequest, VolumesFrom } from "./mounts.ts";
import type { EndpointRecord } from "./networks.ts";

/** What the user asked for, complete: the API fills in what was left out. Sizes in bytes. */
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
  /** Those that it joins besides. */
  readonly networks: readonly NetworkWish[];
  readonly ports: readonly PortMap[];
  /** Every exposed port gets a free one of the host's. */
  readonly publishAll: boolean;
  /** In the network; null: the engine picks them. */
  readonly address: string | null;
  readonly mac: string | null;
  readonly extraHosts: readonly string[];
  readonly dns: { readonly servers: readonly string[]; readonly search: readonly string[]; readonly options: readonly string[] };
  readonly mounts: readonly MountRequest[];
  readonly volumesFrom: readonly VolumesFrom[];
  /** Where an anonymous volume is wanted, if nothing else is there: the image's own among them. */
  readonly volumes: readonly string[];
  readonly readOnlyRoot: boolean;
  readonly privileged: boolean;
  readonly capAdd: readonly string[];
  readonly capDrop: readonly string[];
  readonly securityOptions: readonly string[];
  readonly resources: Resources;
  readonly shmSize: number;
  /** A process of the engine's own is the first one: it reaps orphans and passes signals on to the command. */
  readonly init: boolean;
  readonly restart: RestartPolicy;
  /** Null: the image's own. */
  readonly healthRequest: HealthRequest | null;
  /** What came of it when the container was made. */
  readonly healthCheck: HealthCheck | null;
  readonly onUnhealthy: OnUnhealthy;
  /** What runs a `CMD-SHELL`; null: /bin/sh -c. */
  readonly shell: readonly string[] | null;
  readonly isolation: Isolation;
  /** Names or numbers of further groups, looked up in the container's own /etc/group. */
  readonly groupAdd: readonly string[];
  readonly ulimits: readonly Ulimit[];
  readonly sysctls: Strings;
  readonly devices: readonly DeviceMap[];
  readonly deviceRequests: readonly DeviceRequest[];
  /** `c 10:229 rwm`: type, major and minor (or `*`), access. */
  readonly deviceRules: readonly string[];
  readonly oomScoreAdj: number;
  /** Null: Docker's own list; empty: nothing. */
  readonly maskedPaths: readonly string[] | null;
  readonly readonlyPaths: readonly string[] | null;
  /** A cgroup of the operator's that the container's lies in; "": the engine's own. */
  readonly cgroupParent: string;
  /** For the OCI runtime and for hooks, as they are. */
  readonly annotations: Strings;
  /** Bytes that the read-write layer may hold; needs a storage driver with power `quota`. */
  readonly quotaBytes: number | null;
  readonly log: { readonly driver: ShimLog["driver"]; readonly options: Strings };
  /** Docker's own JSON of what was asked, for inspect: what the fields above have no word for is kept here. */
  readonly raw: { readonly config: Readonly<Record<string, unknown>>; readonly hostConfig: Readonly<Record<string, unknown>> };
}
/** `maximumRetryCount` of `on-failure`; 0: no end. */
export interface RestartPolicy {
  readonly name: "no" | "on-failure" | "always" | "unless-stopped";
  readonly maximumRetryCount: number;
}
/**
 * Where each namespace comes from. "private": the container's own; "host": the host's; "container:ID": that of a container that runs. `ipc`
 * has two more: "shareable", a private one that others may join, and "none", without /dev/shm. `user` is "host" unless asked for; "private"
 * maps the container's root to a range of ids that nobody else on the host has.
 */
export interface Isolation {
  readonly ipc: string;
  readonly pid: string;
  readonly uts: string;
  readonly cgroup: string;
  readonly user: string;
  /** Offsets of the two clocks that count from the boot, in nanoseconds; null: the host's clocks. */
  readonly time: { readonly monotonic: number; readonly boottime: number } | null;
}
/** `soft` and `hard` as of setrlimit(2), -1 for no limit; `name` as docker's: `nofile`. */
export interface Ulimit {
  readonly name: string;
  readonly soft: number;
  readonly hard: number;
}
/** A node of the host, or a directory of nodes; `access`: r, w and m. */
export interface DeviceMap {
  readonly source: string;
  readonly target: string;
  readonly access: string;
}
/**
 * Devices by other names than paths: looked up at each start. Driver `cdi`: `ids` are CDI's full names (`vendor.com/class=name`); "":
 * whoever has the capabilities, as `--gpus` asks.
 */
export interface DeviceRequest {
  readonly driver: string;
  /** -1: all there are. Where there are `ids`, those count. */
  readonly count: number;
  readonly ids: readonly string[];
  /** Sets of which one has to be met whole. */
  readonly capabilities: readonly (readonly string[])[];
}
/** Of one block device, by its path on the host: bytes or operations a second, or a weight. */
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
  /** 0 to 100; cgroup v1 alone has it. */
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
  /** Familiar name, as the user typed it. */
  readonly imageName: string;
  readonly platform: string;
  /** The drivers that it was made with, for as long as it lives. */
  readonly drivers: { readonly storage: string; readonly exec: string };
  readonly layer: ActiveKey;
  readonly mounts: readonly MountPoint[];
  /** What its next start joins, the first being its way out. */
  readonly networks: readonly NetworkWish[];
  readonly argv: readonly string[];
  readonly status: ContainerStatus;
  readonly pid: number | null;
  readonly startedAt: number | null;
  readonly exit: ExitStatus | null;
  /** Why it is not running when it should be. */
  readonly error: string;
  /** Since a user last started it. */
  readonly restartCount: number;
  readonly restart: RestartState;
  /** Null: it has no health check. */
  readonly health: Health | null;
  readonly endpoints: readonly EndpointRecord[];
  /** The ids of the host that stand for the container's own, while it runs in a user namespace. */
  readonly idMaps: IdMaps | null;
  /** Null: its processes and files have no label of their own. */
  readonly selinux: SelinuxLabels | null;
  readonly log: ShimLog;
  readonly warnings: readonly string[];
}

/** `user:role:type:level`. */
export interface SelinuxLabels {
  readonly process: string;
  /** Of its files. */
  readonly mount: string;
}

/** A network by name, and what is wished for there. */
export interface NetworkWish {
  readonly network: string;
  readonly address: string | null;
  readonly mac: string | null;
}
export interface RestartState {
  /** A user stopped it since it was last started. */
  readonly stopped: boolean;
  /** Milliseconds of the last wait before a restart; 0: none since it ran well. */
  readonly backoff: number;
  /** It was unhealthy: its end, which is under way, is followed by a start whatever its policy. */
  readonly wanted: boolean;
  /** When it is `restarting`: when it starts. */
  readonly at: number | null;
}

/**
 * What a start says: warnings are sentences for the user, of what the host did not let the container have (a limit above the host's own).
 */
export interface StartReport {
  readonly timings: Timings;
  readonly warnings: readonly string[];
}

/** Milliseconds of the phases of a start, in their order: what `run --timings` prints. */
export type Timings = readonly (readonly [string, number])[];

export interface StartOptions {
  /** A local client whose descriptors are the container's from the first byte. */
  readonly client: ShimClient & { readonly size: WindowSize | null };
  /** Waits with the first process until those who `attach`ed before have been joined to the shim. */
  readonly size: WindowSize;
}

export interface LogOptions {
  /** Until the container ends, or `until`. */
  readonly follow: boolean;
  /** The last lines, counted before any are left out for their stream or time. */
  readonly tail: number;
  /** As `LogPart.at`; both count themselves. */
  readonly since: string;
  readonly until: string;
  readonly stdout: boolean;
  readonly stderr: boolean;
}
/** Whole lines of one stream that were written at one moment. */
export interface LogPart {
  readonly stream: "stdout" | "stderr";
  /** Nanoseconds since the epoch, as decimal digits. */
  readonly at: string;
  /** One or more, each with its newline, but for one that the container left without. */
  readonly lines: Uint8Array;
}

/**
 * One more process in a running container. `created` by `execCreate`, started once, and known for a while after its end; those that never
 * start go with the container's end. A daemon that comes after one that died knows those that still run, by id alone.
 */
export interface ExecConfig {
  readonly argv: readonly string[];
  /** Over the container's own, by name; a name without `=` takes the variable away. */
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
   * An image whose tree is this process's root in the place of the container's, which is left alone: for tools that it has none of. The
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
  /** Of one that could not be started: 127 when there is no such command, else 126. */
  readonly exitCode: number | null;
}
export interface ExecOutcome {
  readonly exitCode: number;
  /** Standard output and error as they came, no more than was asked for. */
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
  /** Of the host: processor time of all since its boot, how many processors are on, memory. */
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
  /** As of `ContainerConfig.raw`. */
  readonly hostConfig: Readonly<Record<string, unknown>>;
}

export interface ContainersService {
  /** Who owns the tree of cgroups: the engine itself, or the host's systemd. */
  readonly cgroupDriver: "cgroupfs" | "systemd";
  /** The user namespace of containers that ask for none. */
  readonly userns: "host" | "private";
  /** Whether containers have SELinux labels. */
  readonly selinux: boolean;
  /** Where specs of CDI devices are looked for, those that count most last, and the full names of the devices that are there now. */
  cdi(call: Call): Promise<{ readonly directories: readonly string[]; readonly devices: readonly string[] }>;
  /**
   * `AlreadyExists`: the name is taken; `NotFound`: no such image. `name` null: one is made up. It survives a power cut when this answers,
   * or, with `starting`, when the caller's `start` does, which comes next.
   */
  create(call: Call, name: string | null, config: ContainerConfig, options?: Sparse<{ starting: boolean }>): Promise<Container>;
  /**
   * `FailedPrecondition` when it runs already; `Conflict` while it is removed. On failure the container is as before (`created`, with
   * `error`), or gone if it is `--rm`.
   */
  start(call: Call, id: ContainerId, options: Sparse<StartOptions>): Promise<StartReport>;
  /** By id, name, or the beginning of an id. `NotFound` (`No such container: x`); `InvalidArgument` when the beginning is ambiguous. */
  get(call: Call, reference: string): Promise<Container>;
  list(call: Call): Promise<readonly Container[]>;
  /**
   * The stop signal, then SIGKILL after `timeout` seconds (-1: never). Answers when it has ended, and then its restart policy does not
   * bring it back; a container that is `restarting` is exited at once. Not running: `FailedPrecondition`.
   */
  stop(call: Call, id: ContainerId, options: Sparse<{ timeout: number; signal: number }>): Promise<void>;
  /** Stops it if it runs, and starts it; `--rm` does not take it meanwhile. */
  restart(call: Call, id: ContainerId, options: Sparse<{ timeout: number; signal: number }>): Promise<void>;
  /**
   * SIGKILL and the stop signal count as a stop by the user. After SIGKILL it answers when the container has ended; `DeadlineExceeded` when
   * it has not after ten seconds.
   */
  kill(call: Call, id: ContainerId, signal: number): Promise<void>;
  pause(call: Call, id: ContainerId): Promise<void>;
  resume(call: Call, id: ContainerId): Promise<void>;
  rename(call: Call, id: ContainerId, name: string): Promise<void>;
  resize(call: Call, id: ContainerId, size: WindowSize): Promise<void>;
  /**
   * Answers at the condition, unless the call is canceled before. `not-running`: at once when it does not run; `next-exit`: the next one;
   * `removed`.
   */
  wait(call: Call, id: ContainerId, condition: "not-running" | "next-exit" | "removed"): Promise<ExitStatus>;
  /** Answers when all that the container wrote is with this client (at once, when it never was attached). */
  flushed(call: Call, id: ContainerId, client: number): Promise<"flushed" | "detached">;
  /** One that runs gets an interface more, at once. `PermissionDenied`: it is on it already, or has no network of its own. */
  connectNetwork(call: Call, id: ContainerId, wish: NetworkWish): Promise<void>;
  /** The next of its networks becomes its way out, if this was. `force`: not connected is no error. */
  disconnectNetwork(call: Call, id: ContainerId, network: string, options: Sparse<{ force: boolean }>): Promise<void>;
  /** `Conflict` while it runs, unless forced, and while another removal is under way. No start begins beside it. */
  remove(call: Call, id: ContainerId, options: Sparse<{ force: boolean; volumes: boolean }>): Promise<void>;
  /**
   * Opens the container's files for the toolkit's verbs: as its processes see them while it runs, else its layer with its volumes. Until
   * `closeFiles` closes what was opened to `write`, a container that does not run does not start.
   */
  openFiles(call: Call, id: ContainerId, use: "read" | "write"): Promise<string>;
  closeFiles(call: Call, root: string): Promise<void>;
  /**
   * Who its processes are, by its own passwd and group below `root`, which `openFiles` has opened; null: neither who made it nor its image
   * names anybody. `InvalidArgument`: nobody of that name is in there.
   */
  userIn(call: Call, id: ContainerId, root: string): Promise<{ readonly uid: number; readonly gid: number } | null>;
  /**
   * The path of the socket that carries its stdio in Docker's framing; a container that does not run yet gets its shim now, and `start`
   * finds it.
   */
  attachSocket(call: Call, id: ContainerId, exec?: ExecId): Promise<string>;
  /** Joins a local client to a running container. */
  attach(call: Call, id: ContainerId, client: ShimClient): Promise<void>;
  detach(call: Call, id: ContainerId, client: number): Promise<void>;
  /** `FailedPrecondition` when it does not run or is paused; `InvalidArgument` without a command. */
  execCreate(call: Call, id: ContainerId, config: ExecConfig): Promise<Exec>;
  /**
   * Answers when the process runs. Joined to it: the local client, and whoever asked the socket of `attachSocket` for this exec before.
   * `Conflict`: it was started already; `CommandNotFound` and `NotExecutable`: the command is to blame; `FailedPrecondition`: the container
   * is paused, or has ended.
   */
  execStart(call: Call, exec: ExecId, options: Sparse<{ client: ShimClient; size: WindowSize }>): Promise<Timings>;
  /** `NotFound`: `No such exec instance`; its container may have been removed. */
  execGet(call: Call, exec: string): Promise<Exec>;
  /** Of one container, those that have not ended. */
  execList(call: Call, id: ContainerId): Promise<readonly Exec[]>;
  execResize(call: Call, exec: ExecId, size: WindowSize): Promise<void>;
  /** Answers the exit code when it has ended; a client's output may still be on its way (`flushed`). */
  execWait(call: Call, exec: ExecId): Promise<number>;
  /**
   * A command from its start to its end, with nothing to read, and the first `limit` bytes of what it writes. When the call ends before, by
   * its deadline or otherwise, the process is killed and the call's reason thrown. Errors as of `execCreate` and `execStart`.
   */
  execRun(
    call: Call,
    id: ContainerId,
    command: Pick<ExecConfig, "argv"> & Sparse<Pick<ExecConfig, "env" | "workingDirectory" | "user">>,
    limit: number,
  ): Promise<ExecOutcome>;
  /**
   * The host's ps(1) with these arguments, of the container's processes alone. `FailedPrecondition` when it does not run; `InvalidArgument`
   * when the output has no column PID.
   */
  top(call: Call, id: ContainerId, psArguments: readonly string[]): Promise<ProcessTable>;
  /** What it uses now; null when it does not run. */
  usage(call: Call, id: ContainerId): Promise<ContainerUsage | null>;
  /** Changes what is named, of a container that runs or not; answers warnings. On failure the record stays as it was. */
  update(call: Call, id: ContainerId, changes: Sparse<ContainerChanges>): Promise<readonly string[]>;
  logs(call: Call, id: ContainerId, options: Sparse<LogOptions>): Promise<AsyncIterable<LogPart>>;
}

declare module "../plugin.ts" {
  interface Services {
    containers: ContainersService;
  }
}
