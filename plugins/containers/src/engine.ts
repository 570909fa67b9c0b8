/** What the steps of a container's life share: the services they ask, the records they change, and who waits for them. */
import type {
  Call,
  ContainerId,
  EventsService,
  ExecDriver,
  ExitStatus,
  HostToolkit,
  ImagesService,
  NetworksService,
  OciProcess,
  OciSpec,
  ShimState,
  StorageDriver,
  VolumesService,
} from "@tsbox/kernel";
import type { AppArmor } from "./apparmor.ts";
import type { Background } from "./background.ts";
import type { CgroupDriver } from "./cgroup-driver.ts";
import type { Execs } from "./exec-table.ts";
import type { HealthWatch } from "./health-watch.ts";
import type { IdRanges } from "./id-ranges.ts";
import type { Locks } from "./locks.ts";
import type { Records } from "./records.ts";
import type { Restarts } from "./restart-timers.ts";
import type { Roots } from "./roots.ts";
import type { Settling } from "./settling.ts";
import type { Shims } from "./shims.ts";
import type { ResolvedUser } from "./spec/build.ts";
import type { Waiters } from "./waiters.ts";

/** What is known of the containers, and who is told when it changes. */
export interface Journal {
  readonly records: Records;
  /** Who waits for an end, a removal or the last output. */
  readonly waiters: Waiters;
  readonly events: EventsService;
}

/** One change at a time of one container (decide.ts). */
export interface Turns {
  readonly locks: Locks;
  /** Starts that are under way, each with what gives it up. */
  readonly starts: Map<ContainerId, () => void>;
}

/** The drivers of this host. */
export interface Drivers {
  storage(id: string): Promise<StorageDriver>;
  exec(id: string): Promise<ExecDriver>;
  /** The id of the driver that the host prefers. */
  preferred(kind: "storage" | "exec"): Promise<string>;
  /** The ids of all storage drivers that work here, the preferred one first. */
  storageIds(): Promise<readonly string[]>;
}

/** The services of other plugins. */
export interface Services {
  readonly images: ImagesService;
  readonly networks: NetworksService;
  readonly volumes: VolumesService;
  readonly host: HostToolkit;
}

/** What a container has before it starts: a shim, and ids of the host. */
export interface ShimSupply {
  readonly shims: Shims;
  /** Shims that were spawned before the start, which finds them here (early-shims.ts). */
  readonly early: Map<ContainerId, Promise<ShimState>>;
  /** Ids of the host for containers in user namespaces. */
  readonly idRanges: IdRanges;
}

/** What goes on by itself while a container lives. */
export interface Watches {
  /** Who waits for its restart. */
  readonly restarts: Restarts;
  /** Containers whose end is part of a restart by the user, and how many restarts that are: `--rm` does not remove them. */
  readonly kept: Map<ContainerId, number>;
  readonly healthWatch: HealthWatch;
  /** Does what the container's user wants done. */
  onUnhealthy(id: ContainerId, startedAt: number | null): Promise<void>;
  /** Containers that have run out of memory since their start, for which the event was sent. */
  readonly outOfMemory: Set<ContainerId>;
}

/** Whose engine it is. */
export interface Place {
  readonly engineId: string;
  /** On disk: one directory a container (directories.ts). */
  readonly rootDirectory: string;
}

/** What the operator and the host decide for every container. */
export interface HostChoices {
  readonly apparmor: AppArmor;
  /** Whether containers have labels of SELinux. */
  readonly selinux: boolean;
  /** Where specs of CDI devices are looked for, those that count most last. */
  readonly cdiSpecDirs: readonly string[];
  /** Where cgroups lie, and who owns them. */
  readonly cgroups: CgroupDriver;
}

/** All of it. Each step says in its signature which parts it needs; only the service holds the whole. */
export interface Engine extends Journal, Turns, Drivers, Services, ShimSupply, Watches, Place, HostChoices, Background {
  readonly execs: Execs;
  readonly hooks: ContainerHooks;
  /** Containers' files that somebody outside has open. */
  readonly roots: Roots;
  /** The user of an image, by image, driver and name, as long as nobody has changed its files. */
  readonly users: Map<string, ResolvedUser>;
  readonly settling: Settling;
  /** Containers that are being removed: they don't start. */
  readonly removing: Set<ContainerId>;
}

export interface ContainerHooks {
  buildSpec(call: Call, spec: OciSpec, id: ContainerId): Promise<OciSpec>;
  beforeCreate(call: Call, spec: OciSpec): Promise<void>;
  beforeStart(call: Call, id: ContainerId): Promise<void>;
  started(call: Call, id: ContainerId): Promise<void>;
  beforeExec(call: Call, id: ContainerId, process: OciProcess): Promise<void>;
  exited(call: Call, id: ContainerId, status: ExitStatus): Promise<void>;
  beforeRemove(call: Call, id: ContainerId): Promise<void>;
  removed(call: Call, id: ContainerId): Promise<void>;
}
