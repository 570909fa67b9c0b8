/** What the steps of a container's life share: services, records, and those that wait for changes. */
import type {
  Call,
  ContainerConfig,
  ContainerId,
  EventsService,
  ExecDriver,
  ExitStatus,
  HostToolkit,
  ImagesService,
  LogDriver,
  NetworksService,
  OciProcess,
  OciSpec,
  ShimState,
  StorageDriver,
  Strings,
  VolumesService,
} from "@tsbox/kernel";
import type { AppArmor } from "./apparmor.ts";
import type { Background } from "./background.ts";
import type { CgroupDriver } from "./cgroup-driver.ts";
import type { Execs } from "./exec-table.ts";
import type { HealthWatch } from "./health-watch.ts";
import type { IdRanges } from "./id-ranges.ts";
import type { Locks } from "./locks.ts";
import type { Followers } from "./log-drivers/followers.ts";
import type { Migrations } from "./migrations.ts";
import type { Records } from "./records.ts";
import type { Restarts } from "./restart-timers.ts";
import type { Roots } from "./roots.ts";
import type { Settling } from "./settling.ts";
import type { Shims } from "./shims.ts";
import type { ResolvedUser } from "./spec/build.ts";
import type { Waiters } from "./waiters.ts";

/** The records of the containers, and who is notified of a change. */
export interface Journal {
  readonly records: Records;
  /** Calls that wait for an end, a removal or the last output. */
  readonly waiters: Waiters;
  readonly events: EventsService;
}

/** Serializes the changes of one container (decide.ts). */
export interface Turns {
  readonly locks: Locks;
  /** Starts in progress, each with the function that cancels it. */
  readonly starts: Map<ContainerId, () => void>;
}

/** The drivers of this host. */
export interface Drivers {
  storage(id: string): Promise<StorageDriver>;
  exec(id: string): Promise<ExecDriver>;
  log(id: string): Promise<LogDriver>;
  /** The id of the driver that the host prefers. */
  preferred(kind: "storage" | "exec" | "log"): Promise<string>;
  /** The ids of all storage drivers that work here, the preferred one first. */
  storageIds(): Promise<readonly string[]>;
  /** The ids of all installed log drivers. */
  logIds(): Promise<readonly string[]>;
}

/** The services of other plugins. */
export interface Services {
  readonly images: ImagesService;
  readonly networks: NetworksService;
  readonly volumes: VolumesService;
  readonly host: HostToolkit;
}

/** What a container gets before it starts: a shim, and a range of host ids. */
export interface ShimSupply {
  readonly shims: Shims;
  /** Shims that were spawned before the start, which takes them from here (early-shims.ts). */
  readonly early: Map<ContainerId, Promise<ShimState>>;
  /** Ids of the host for containers in user namespaces. */
  readonly idRanges: IdRanges;
}

/** Timers and marks of living containers. */
export interface Watches {
  /** Containers whose log is being sent to a driver. */
  readonly followers: Followers;
  /** Containers that wait for their restart. */
  readonly restarts: Restarts;
  /** Containers whose end is part of a restart by the user, with the number of such restarts: `--rm` does not remove them. */
  readonly kept: Map<ContainerId, number>;
  readonly healthWatch: HealthWatch;
  /** Does what `--on-unhealthy` of the container says. */
  onUnhealthy(id: ContainerId, startedAt: number | null): Promise<void>;
  /** Containers that have run out of memory since their start, and whose `oom` event was sent. */
  readonly outOfMemory: Set<ContainerId>;
}

/** The engine's id and root directory. */
export interface Place {
  readonly engineId: string;
  /** On disk: one directory per container (directories.ts). */
  readonly rootDirectory: string;
}

/** What the operator and the host decide for every container. */
export interface HostChoices {
  readonly apparmor: AppArmor;
  /** Whether containers get SELinux labels. */
  readonly selinux: boolean;
  /** Where CDI specs are searched, in ascending precedence. */
  readonly cdiSpecDirs: readonly string[];
  /** Log options of containers that have the default log driver. */
  readonly logOptions: Strings;
  /** Where cgroups are, and who owns them. */
  readonly cgroups: CgroupDriver;
}

/** All parts together. Each step names in its signature the parts that it needs; only the service holds the whole. */
export interface Engine extends Journal, Turns, Drivers, Services, ShimSupply, Watches, Place, HostChoices, Background {
  readonly execs: Execs;
  readonly hooks: ContainerHooks;
  /** Files of containers that callers outside have open. */
  readonly roots: Roots;
  /** The resolved user of an image, by image, driver and name, for containers whose files have not been changed. */
  readonly users: Map<string, ResolvedUser>;
  readonly settling: Settling;
  /** Storage drivers that still have a layer of a container which has moved to another one. */
  readonly leftBehind: Map<ContainerId, Set<string>>;
  readonly migrations: Migrations;
  /** Makes a driver the host's choice. */
  prefer(call: Call, kind: "storage", id: string): Promise<void>;
  /** Containers that are being removed: they can't be started. */
  readonly removing: Set<ContainerId>;
}

export interface ContainerHooks {
  buildSpec(call: Call, spec: OciSpec, id: ContainerId): Promise<OciSpec>;
  beforeCreate(call: Call, config: ContainerConfig, id: ContainerId): Promise<void>;
  beforeStart(call: Call, id: ContainerId): Promise<void>;
  started(call: Call, id: ContainerId): Promise<void>;
  beforeExec(call: Call, id: ContainerId, process: OciProcess): Promise<void>;
  exited(call: Call, id: ContainerId, status: ExitStatus): Promise<void>;
  beforeRemove(call: Call, id: ContainerId): Promise<void>;
  removed(call: Call, id: ContainerId): Promise<void>;
}
