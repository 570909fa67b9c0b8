/**
 * `HostConfig` in Docker's inspect: every field is present, with the engine's value if the request left it out. Clients read the fields
 * without checking that they exist.
 */
import type { Container, Json } from "@tsbox/kernel";

/** Go's zero values, in Docker's order: clients distinguish null, [] and "". */
const zero: Json = {
  Binds: null,
  ContainerIDFile: "",
  LogConfig: { Type: "", Config: {} },
  NetworkMode: "default",
  PortBindings: {},
  RestartPolicy: { Name: "no", MaximumRetryCount: 0 },
  AutoRemove: false,
  VolumeDriver: "",
  VolumesFrom: null,
  ConsoleSize: [0, 0],
  CapAdd: null,
  CapDrop: null,
  CgroupnsMode: "private",
  Dns: [],
  DnsOptions: [],
  DnsSearch: [],
  ExtraHosts: null,
  GroupAdd: null,
  IpcMode: "private",
  Cgroup: "",
  Links: null,
  OomScoreAdj: 0,
  PidMode: "",
  Privileged: false,
  PublishAllPorts: false,
  ReadonlyRootfs: false,
  SecurityOpt: null,
  UTSMode: "",
  UsernsMode: "",
  ShmSize: 64 << 20,
  Runtime: "",
  Isolation: "",
  CpuShares: 0,
  Memory: 0,
  NanoCpus: 0,
  CgroupParent: "",
  BlkioWeight: 0,
  BlkioWeightDevice: [],
  BlkioDeviceReadBps: [],
  BlkioDeviceWriteBps: [],
  BlkioDeviceReadIOps: [],
  BlkioDeviceWriteIOps: [],
  CpuPeriod: 0,
  CpuQuota: 0,
  CpuRealtimePeriod: 0,
  CpuRealtimeRuntime: 0,
  CpusetCpus: "",
  CpusetMems: "",
  Devices: [],
  DeviceCgroupRules: null,
  DeviceRequests: null,
  MemoryReservation: 0,
  MemorySwap: 0,
  MemorySwappiness: null,
  OomKillDisable: null,
  PidsLimit: null,
  Ulimits: null,
  CpuCount: 0,
  CpuPercent: 0,
  IOMaximumIOps: 0,
  IOMaximumBandwidth: 0,
  MaskedPaths: null,
  ReadonlyPaths: null,
};

/** The requested config with defaults. An empty string means "left out" for fields with a zero value. */
export function hostConfigOf({ config, drivers }: Container): Json {
  const given = Object.entries(config.raw.hostConfig).filter(([key, value]) => value !== null && !(value === "" && key in zero));
  const { memory, memorySwap } = config.resources;
  return {
    ...zero,
    ...Object.fromEntries(given),
    LogConfig: { Type: config.log.driver, Config: config.log.options },
    NetworkMode: config.network,
    RestartPolicy: { Name: config.restart.name, MaximumRetryCount: config.restart.maximumRetryCount },
    ShmSize: config.shmSize,
    Runtime: drivers.exec,
    // As in Docker, the default is as much swap as memory.
    MemorySwap: memorySwap ?? (memory === null ? 0 : memory * 2),
  };
}
