/**
 * The flags of `run` and `create` for limits, isolation, identity and devices, and their part of Docker's create body. The other flags are
 * in run.ts.
 */
import type { Json } from "@tsbox/kernel";
import { CommandError } from "../command-error.ts";
import { deviceRequests, isQualified } from "../devices.ts";
import type { FlagSpecs, Parsed } from "../flags.ts";
import { bytes, count, duration } from "../units.ts";

export const limitFlags: FlagSpecs = {
  memory: { short: "m", kind: "text", value: "bytes", help: "Memory limit" },
  "memory-swap": { kind: "text", value: "bytes", help: "Swap limit equal to memory plus swap: '-1' to enable unlimited swap" },
  "memory-reservation": { kind: "text", value: "bytes", help: "Memory soft limit" },
  "kernel-memory": { kind: "text", value: "bytes", help: "Kernel memory limit: ignored, since no kernel has it any more" },
  "memory-swappiness": { kind: "text", value: "int", help: "Tune container memory swappiness (0 to 100)" },
  "oom-kill-disable": { kind: "bool", help: "Disable OOM Killer" },
  "oom-score-adj": { kind: "text", value: "int", help: "Tune host's OOM preferences (-1000 to 1000)" },
  cpus: { kind: "text", value: "decimal", help: "Number of CPUs" },
  "cpu-shares": { short: "c", kind: "text", value: "int", help: "CPU shares (relative weight)" },
  "cpu-period": { kind: "text", value: "int", help: "Limit CPU CFS (Completely Fair Scheduler) period, in microseconds" },
  "cpu-quota": { kind: "text", value: "int", help: "Limit CPU CFS (Completely Fair Scheduler) quota, in microseconds" },
  "cpu-rt-period": { kind: "text", value: "int", help: "Limit CPU real-time period in microseconds" },
  "cpu-rt-runtime": { kind: "text", value: "int", help: "Limit CPU real-time runtime in microseconds" },
  "cpuset-cpus": { kind: "text", help: "CPUs in which to allow execution (0-3, 0,1)" },
  "cpuset-mems": { kind: "text", help: "MEMs in which to allow execution (0-3, 0,1)" },
  "pids-limit": { kind: "text", value: "int", help: "Tune container pids limit (set -1 for unlimited)" },
  "blkio-weight": { kind: "text", value: "uint16", help: "Block IO (relative weight), between 10 and 1000, or 0 to disable" },
  "blkio-weight-device": { kind: "list", help: "Block IO weight (relative device weight): DEVICE:WEIGHT" },
  "device-read-bps": { kind: "list", help: "Limit read rate (bytes per second) from a device: DEVICE:RATE" },
  "device-write-bps": { kind: "list", help: "Limit write rate (bytes per second) to a device: DEVICE:RATE" },
  "device-read-iops": { kind: "list", help: "Limit read rate (IO per second) from a device: DEVICE:RATE" },
  "device-write-iops": { kind: "list", help: "Limit write rate (IO per second) to a device: DEVICE:RATE" },
  hugepages: { kind: "list", help: "Limit huge pages of a size: SIZE=BYTES, as 2MB=64m" },
  ulimit: { kind: "list", value: "ulimit", help: "Ulimit options: NAME=SOFT[:HARD]" },
  "shm-size": { kind: "text", value: "bytes", help: "Size of /dev/shm" },
  "storage-opt": { kind: "list", help: "Storage driver options for the container: size=BYTES" },
  "cgroup-parent": { kind: "text", help: "Optional parent cgroup for the container" },
};

export const isolationFlags: FlagSpecs = {
  privileged: { kind: "bool", help: "Give extended privileges to this container" },
  "cap-add": { kind: "list", help: "Add Linux capabilities" },
  "cap-drop": { kind: "list", help: "Drop Linux capabilities" },
  "security-opt": {
    kind: "list",
    help: "Security options: no-new-privileges, seccomp=FILE|unconfined, apparmor=PROFILE, label=…, systempaths=unconfined",
  },
  userns: { kind: "text", help: "User namespace to use: host, or private for a range of ids of the container's own" },
  ipc: { kind: "text", help: "IPC mode to use: private, shareable, host, none or container:NAME" },
  pid: { kind: "text", help: "PID namespace to use: host or container:NAME" },
  uts: { kind: "text", help: "UTS namespace to use: host" },
  cgroupns: { kind: "text", help: "Cgroup namespace to use: host or private" },
  "time-offset": { kind: "text", help: "Move the clocks that count from the boot: a span, or monotonic=SPAN,boottime=SPAN" },
  sysctl: { kind: "list", value: "map", help: "Sysctl options: NAME=VALUE" },
  device: { kind: "list", help: "Add a host device to the container: PATH[:TARGET[:rwm]], or a CDI device: VENDOR/CLASS=NAME" },
  gpus: { kind: "text", help: "GPU devices to add to the container ('all' to pass all GPUs)" },
  "device-cgroup-rule": { kind: "list", help: "Add a rule to the cgroup allowed devices list" },
  "group-add": { kind: "list", help: "Add additional groups to join" },
  init: { kind: "bool", help: "Run an init inside the container that forwards signals and reaps processes" },
  isolation: { kind: "text", help: "Container isolation technology: default" },
  runtime: { kind: "text", help: "Runtime to use for this container: an exec driver" },
  "lxc-conf": {
    kind: "list",
    value: "key=value",
    help: "With --exec lxc: add a line to LXC's configuration, as lxc.cgroup.cpuset.cpus=0,1",
  },
  annotation: { kind: "list", value: "map", help: "Add an annotation to the container (passed through to the OCI runtime)" },
};

/** Parts of `HostConfig`. */
export function limitsOf(parsed: Parsed): Json {
  const number = (flag: string): number => count(flag, parsed.text(flag) ?? "0");
  const size = (flag: string): number => bytes(flag, parsed.text(flag));
  return {
    Memory: size("memory"),
    MemorySwap: parsed.text("memory-swap") === "-1" ? -1 : size("memory-swap"),
    MemoryReservation: size("memory-reservation"),
    MemorySwappiness: count("memory-swappiness", parsed.text("memory-swappiness") ?? "-1"),
    OomKillDisable: parsed.bool("oom-kill-disable"),
    OomScoreAdj: number("oom-score-adj"),
    NanoCpus: nanoCpus(parsed.text("cpus")),
    CpuShares: number("cpu-shares"),
    CpuPeriod: number("cpu-period"),
    CpuQuota: number("cpu-quota"),
    CpuRealtimePeriod: number("cpu-rt-period"),
    CpuRealtimeRuntime: number("cpu-rt-runtime"),
    CpusetCpus: parsed.text("cpuset-cpus") ?? "",
    CpusetMems: parsed.text("cpuset-mems") ?? "",
    PidsLimit: number("pids-limit"),
    BlkioWeight: number("blkio-weight"),
    BlkioWeightDevice: parsed.list("blkio-weight-device").map((entry) => {
      const [path, weight] = deviceLimit("blkio-weight-device", entry);
      return { Path: path, Weight: count("blkio-weight-device", weight) };
    }),
    BlkioDeviceReadBps: rates(parsed, "device-read-bps", bytes),
    BlkioDeviceWriteBps: rates(parsed, "device-write-bps", bytes),
    BlkioDeviceReadIOps: rates(parsed, "device-read-iops", count),
    BlkioDeviceWriteIOps: rates(parsed, "device-write-iops", count),
    Ulimits: parsed.list("ulimit").map(ulimit),
    ShmSize: size("shm-size"),
    StorageOpt: pairs(parsed.list("storage-opt")),
    CgroupParent: parsed.text("cgroup-parent") ?? "",
    TsboxHugepages: Object.fromEntries(parsed.list("hugepages").map(hugepages)),
  };
}

/** Warnings for flags that Docker still accepts, but that no current kernel supports. */
export function ignored(parsed: Parsed): readonly string[] {
  return bytes("kernel-memory", parsed.text("kernel-memory")) > 0
    ? ["--kernel-memory is ignored: kernels limit all memory as one, with --memory"]
    : [];
}

/** Whether a security option names a file of the user. */
export const namesProfile = (option: string): boolean => /^seccomp[=:](?!unconfined$|builtin$|\s*\{)./s.test(option);

/** Parts of `HostConfig`. `read` reads a file of the user. */
export function isolationOf(parsed: Parsed, read: (path: string) => string): Json {
  return {
    Privileged: parsed.bool("privileged"),
    CapAdd: parsed.list("cap-add"),
    CapDrop: parsed.list("cap-drop"),
    SecurityOpt: parsed.list("security-opt").map((option) => (namesProfile(option) ? `seccomp=${profile(read(option.slice(8)))}` : option)),
    UsernsMode: parsed.text("userns") ?? "",
    IpcMode: parsed.text("ipc") ?? "",
    PidMode: parsed.text("pid") ?? "",
    UTSMode: parsed.text("uts") ?? "",
    CgroupnsMode: parsed.text("cgroupns") ?? "",
    TsboxTimeOffset: timeOffset(parsed.text("time-offset")),
    Sysctls: pairs(parsed.list("sysctl")),
    Devices: parsed
      .list("device")
      .filter((entry) => !isQualified(entry))
      .map(device),
    DeviceRequests: deviceRequests(parsed),
    DeviceCgroupRules: parsed.list("device-cgroup-rule"),
    GroupAdd: parsed.list("group-add"),
    Init: parsed.given("init") ? parsed.bool("init") : null,
    Isolation: parsed.text("isolation") ?? "",
    Runtime: parsed.text("runtime") ?? "",
    Annotations: pairs(parsed.list("annotation")),
    ...(parsed.list("lxc-conf").length === 0 ? {} : { LxcConf: parsed.list("lxc-conf").map(lxcLine) }),
  };
}

/** The profile on one line; checked to be JSON before it is sent. */
function profile(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text));
  } catch (error) {
    throw new CommandError(125, `the seccomp profile is no JSON: ${(error as Error).message}`);
  }
}

const pairs = (entries: readonly string[]): Readonly<Record<string, string>> =>
  Object.fromEntries(
    entries.map((entry) => {
      const at = entry.indexOf("=");
      return at < 0 ? [entry, ""] : [entry.slice(0, at), entry.slice(at + 1)];
    }),
  );

/** `lxc.cgroup.cpuset.cpus = 0,1`, with spaces or without. */
function lxcLine(entry: string): Json {
  const at = entry.indexOf("=");
  if (at <= 0) throw wrong("lxc-conf", entry, "give KEY=VALUE");
  return { Key: entry.slice(0, at).trim(), Value: entry.slice(at + 1).trim() };
}

const wrong = (flag: string, text: string, why: string): CommandError =>
  new CommandError(125, `invalid argument "${text}" for "--${flag}" flag: ${why}`);

export function nanoCpus(text: string | null): number {
  if (text === null) return 0;
  const cpus = Number(text);
  if (!/^\d*\.?\d+$/.test(text) || cpus <= 0) throw wrong("cpus", text, `failed to parse ${text} as a rational number`);
  return Math.round(cpus * 1e9);
}

/** `/dev/sda:1mb` */
function deviceLimit(flag: string, entry: string): readonly [path: string, value: string] {
  const match = /^(\/dev\/[^:]+):(.+)$/.exec(entry);
  if (!match) throw wrong(flag, entry, `bad format: give DEVICE:VALUE with a device's path below /dev`);
  return [match[1] ?? "", match[2] ?? ""];
}

function rates(parsed: Parsed, flag: string, parse: (flag: string, text: string) => number): readonly Json[] {
  return parsed.list(flag).map((entry) => {
    const [path, rate] = deviceLimit(flag, entry);
    return { Path: path, Rate: parse(flag, rate) };
  });
}

/** `nofile=1024`, `nofile=1024:2048`; -1 or `unlimited`: no limit. */
function ulimit(entry: string): Json {
  const match = /^([a-z]+)=(-1|unlimited|\d+)(?::(-1|unlimited|\d+))?$/.exec(entry);
  if (!match) throw wrong("ulimit", entry, `invalid ulimit argument: ${entry}: give NAME=SOFT[:HARD]`);
  const value = (text: string): number => (text === "unlimited" ? -1 : Number(text));
  const soft = value(match[2] ?? "");
  return { Name: match[1], Soft: soft, Hard: match[3] === undefined ? soft : value(match[3]) };
}

function hugepages(entry: string): readonly [string, number] {
  const match = /^(\d+[KMG]B)=(.+)$/i.exec(entry);
  if (!match) throw wrong("hugepages", entry, "give a page size and a limit, as 2MB=64m");
  return [(match[1] ?? "").toUpperCase(), bytes("hugepages", match[2] ?? "")];
}

/** `/dev/fuse`, `/dev/sda:/dev/xvda:r`, `/dev/fuse:rw` */
function device(entry: string): Json {
  const [source = "", second, third] = entry.split(":");
  const isAccess = (text: string | undefined): text is string => text !== undefined && /^[rwm]{1,3}$/.test(text);
  const access = third ?? (isAccess(second) ? second : "rwm");
  if (!isAccess(access) || entry.split(":").length > 3) throw wrong("device", entry, `bad mode specified: ${access}`);
  return { PathOnHost: source, PathInContainer: second === undefined || isAccess(second) ? source : second, CgroupPermissions: access };
}

/** `-36h`, `monotonic=24h,boottime=48h`: nanoseconds by clock. */
function timeOffset(text: string | null): Json {
  if (text === null) return {};
  if (!text.includes("=")) {
    const both = duration("time-offset", text);
    return { Monotonic: both, Boottime: both };
  }
  const offsets: Record<string, number> = {};
  for (const part of text.split(",")) {
    const [clock = "", span = ""] = part.split("=");
    if (clock !== "monotonic" && clock !== "boottime")
      throw wrong("time-offset", text, `no clock ${clock}: there are monotonic and boottime`);
    offsets[clock === "monotonic" ? "Monotonic" : "Boottime"] = duration("time-offset", span);
  }
  return offsets;
}
