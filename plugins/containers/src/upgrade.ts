/**
 * Completes records that were written before version 0.1 had volumes, policies and isolation: fields that they lack get the value that was
 * in effect then. Such records are recognised by their missing `mounts`. The next change of a record writes it whole in the new form.
 */
import type { BindPoint, Container, ContainerConfig, TmpfsPoint } from "@tsbox/kernel";

/** The values of a container without any options. */
const configDefaults: Partial<ContainerConfig> = {
  networks: [],
  publishAll: false,
  address: null,
  mac: null,
  mounts: [],
  volumesFrom: [],
  volumes: [],
  restart: { name: "no", maximumRetryCount: 0 },
  healthRequest: null,
  healthCheck: null,
  onUnhealthy: "none",
  shell: null,
  isolation: { ipc: "private", pid: "private", uts: "private", cgroup: "private", user: "host", time: null },
  groupAdd: [],
  ulimits: [],
  sysctls: {},
  devices: [],
  deviceRequests: [],
  formatOptions: [],
  deviceRules: [],
  oomScoreAdj: 0,
  maskedPaths: null,
  readonlyPaths: null,
  cgroupParent: "",
  annotations: {},
  quotaBytes: null,
};
const resourceDefaults: Partial<ContainerConfig["resources"]> = {
  cpuRealtimePeriod: null,
  cpuRealtimeRuntime: null,
  memorySwappiness: null,
  oomKillDisable: false,
  blockWeight: null,
  blockWeightDevices: [],
  blockReadBytes: [],
  blockWriteBytes: [],
  blockReadOperations: [],
  blockWriteOperations: [],
  hugepages: {},
};

/** Mounts in their earlier form. */
interface EarlierConfig {
  readonly binds?: readonly {
    readonly source: string;
    readonly target: string;
    readonly readOnly: boolean;
    readonly propagation: string | null;
  }[];
  readonly tmpfs?: Readonly<Record<string, string>>;
}

export function upgraded(record: Container): Container {
  const { mounts, selinux } = record as Partial<Container>;
  if (mounts !== undefined) {
    if (selinux === undefined) return upgraded({ ...record, selinux: null });
    const { deviceRequests, formatOptions } = record.config as Partial<ContainerConfig>;
    return deviceRequests === undefined || formatOptions === undefined
      ? { ...record, config: { ...record.config, deviceRequests: deviceRequests ?? [], formatOptions: formatOptions ?? [] } }
      : record;
  }
  const { binds = [], tmpfs = {} } = record.config as EarlierConfig;
  const points = [
    ...binds.map(
      ({ source, target, readOnly, propagation }): BindPoint => ({
        kind: "bind",
        source,
        target,
        readOnly,
        propagation: (propagation ?? "rprivate") as BindPoint["propagation"],
        recursive: true,
        readOnlyDepth: "top",
        createSource: false,
        mode: readOnly ? "ro" : "",
      }),
    ),
    ...Object.entries(tmpfs).map(
      ([target, options]): TmpfsPoint => ({
        kind: "tmpfs",
        target,
        readOnly: false,
        options: options.split(",").filter(Boolean),
        plain: true,
      }),
    ),
  ];
  return {
    ...record,
    config: { ...configDefaults, ...record.config, resources: { ...resourceDefaults, ...record.config.resources } },
    mounts: points,
    networks: [],
    restart: { stopped: true, backoff: 0, wanted: false, at: null },
    health: null,
    idMaps: null,
    selinux: null,
  };
}
