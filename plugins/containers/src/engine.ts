/** What the steps of a container's life share: the services they ask, the records they change, and who waits for them. */
import type {
  Call,
  ContainerId,
  EventsService,
  ExecDriver,
  ExitStatus,
  HostToolkit,
  ImagesService,
  LauncherService,
  NetworksService,
  OciProcess,
  OciSpec,
  ShimState,
  Sparse,
  StorageDriver,
  VolumesService,
} from "@tsbox/kernel";
import type { AppArmor } from "./apparmor.ts";
import type { CgroupDriver } from "./cgroup-driver.ts";
import type { Execs } from "./exec-table.ts";
import type { HealthWatch } from "./health-watch.ts";
import type { IdRanges } from "./id-ranges.ts";
import type { Locks } from "./locks.ts";
import type { Records } from "./records.ts";
import type { Restarts } from "./restart-timers.ts";
import type { Roots } from "./roots.ts";
import type { Settling } from "./settling.ts";
import type { ResolvedUser } from "./spec/build.ts";
import type { Waiters } from "./waiters.ts";

export interface Engine {
  readonly engineId: string;
  /** On disk: one directory a container (directories.ts). */
  readonly rootDirectory: string;
  readonly records: Records;
  readonly waiters: Waiters;
  readonly execs: Execs;
  readonly images: ImagesService;
  readonly networks: NetworksService;
  readonly volumes: VolumesService;
  readonly launcher: LauncherService;
  readonly events: EventsService;
  readonly host: HostToolkit;
  /** Containers' files that somebody outside has open. */
  readonly roots: Roots;
  /** One change at a time of one container (decide.ts). */
  readonly locks: Locks;
  readonly apparmor: AppArmor;
  /** Whether containers have labels of SELinux. */
  readonly selinux: boolean;
  /** Where specs of CDI devices are looked for, those that count most last. */
  readonly cdiSpecDirs: readonly string[];
  /** Where cgroups lie, and who owns them. */
  readonly cgroups: CgroupDriver;
  /** Ids of the host for containers in user namespaces. */
  readonly idRanges: IdRanges;
  /** Who an image's user is, where nobody has changed its files yet: image, driver and name. */
  readonly users: Map<string, ResolvedUser>;
  /** Shims that were spawned before the start, which finds them here (shims.ts). */
  readonly early: Map<ContainerId, Promise<ShimState>>;
  readonly settling: Settling;
  /** Who waits for its restart. */
  readonly restarts: Restarts;
  /** Whose end is part of a restart by the user, by how many of them: `--rm` does not take them. */
  readonly kept: Map<ContainerId, number>;
  /** Those that a removal is under way for: they don't start. */
  readonly removing: Set<ContainerId>;
  /** Starts that are under way, each with what gives it up. */
  readonly starts: Map<ContainerId, () => void>;
  readonly healthWatch: HealthWatch;
  /** Does what the container's user wants done. */
  onUnhealthy(id: ContainerId, startedAt: number | null): Promise<void>;
  /** Those that have run out of memory since their start, which was told. */
  readonly outOfMemory: Set<ContainerId>;
  /** Work that nobody waits for, but that must be done before the engine ends. */
  readonly background: Set<Promise<void>>;
  readonly hooks: ContainerHooks;
  storage(id: string): Promise<StorageDriver>;
  exec(id: string): Promise<ExecDriver>;
  /** The host's choice of a kind. */
  preferred(kind: "storage" | "exec"): Promise<string>;
  /** The ids of all storage drivers that work here, the preferred one first. */
  storageIds(): Promise<readonly string[]>;
  /** For what no caller asked for. */
  call(options?: Sparse<{ signal: AbortSignal; timeout: number }>): Call;
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
