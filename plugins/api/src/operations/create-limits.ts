/** The limits in a create or update body: `HostConfig`'s resources, ulimits and out-of-memory score, with Docker's checks and messages. */
import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { type DeviceLimit, fail, type Resources, type Ulimit } from "@tsbox/kernel";
import { amount, flag, type Loose, list, object, strings, text } from "./loose.ts";

const smallestMemory = 6 << 20;
/** The resources of setrlimit(2), by docker's names. */
const ulimitNames = [
  "core",
  "cpu",
  "data",
  "fsize",
  "locks",
  "memlock",
  "msgqueue",
  "nice",
  "nofile",
  "nproc",
  "rss",
  "rtprio",
  "rttime",
  "sigpending",
  "stack",
  "as",
];

export function resourcesOf(host: Loose): Resources {
  const memory = amount(host, "Memory");
  if (memory !== null && memory < smallestMemory) throw fail("InvalidArgument", "Minimum memory limit allowed is 6MB");
  const swap = amount(host, "MemorySwap");
  if (memory === null && swap !== null && swap > 0)
    throw fail("InvalidArgument", "You should always set the Memory limit when using Memoryswap limit, see usage");
  if (memory !== null && swap !== null && swap !== -1 && swap < memory)
    throw fail("InvalidArgument", "Minimum memoryswap limit should be larger than memory limit, see usage");
  if (swap !== null && swap < -1) throw fail("InvalidArgument", "Invalid memoryswap limit: give a number of bytes, or -1 for no limit");
  const reservation = amount(host, "MemoryReservation");
  if (reservation !== null && reservation < smallestMemory) throw fail("InvalidArgument", "Minimum memory reservation allowed is 6MB");
  if (memory !== null && reservation !== null && reservation > memory)
    throw fail("InvalidArgument", "Minimum memory limit can not be less than memory reservation limit, see usage");
  const nanoCpus = amount(host, "NanoCpus");
  if (nanoCpus !== null && (nanoCpus < 1e7 || nanoCpus > cpus().length * 1e9))
    throw fail("InvalidArgument", `Range of CPUs is from 0.01 to ${cpus().length}.00, as there are only ${cpus().length} CPUs available`);
  const quota = amount(host, "CpuQuota");
  const period = amount(host, "CpuPeriod");
  if (nanoCpus !== null && (quota !== null || period !== null))
    throw fail("InvalidArgument", `Conflicting options: Nano CPUs and CPU ${quota !== null ? "Quota" : "Period"} cannot both be set`);
  if (period !== null && (period < 1000 || period > 1_000_000))
    throw fail("InvalidArgument", "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
  if (quota !== null && quota > 0 && quota < 1000) throw fail("InvalidArgument", "CPU cfs quota can not be less than 1ms (i.e. 1000)");
  return {
    memory,
    memorySwap: swap,
    memoryReservation: reservation,
    memorySwappiness: swappinessOf(host),
    oomKillDisable: flag(host, "OomKillDisable"),
    cpuShares: sharesOf(host),
    cpuQuota: nanoCpus === null ? quota : Math.round(nanoCpus / 10_000),
    cpuPeriod: nanoCpus === null ? period : 100_000,
    cpusetCpus: listOf(host, "CpusetCpus"),
    cpusetMems: listOf(host, "CpusetMems"),
    cpuRealtimePeriod: microseconds(host, "CpuRealtimePeriod"),
    cpuRealtimeRuntime: microseconds(host, "CpuRealtimeRuntime"),
    pids: pidsOf(host),
    blockWeight: weightOf(amount(host, "BlkioWeight")),
    blockWeightDevices: list(host, "BlkioWeightDevice").map((one) => ({
      path: text(one, "Path"),
      value: weightOf(amount(one, "Weight")) ?? 0,
    })),
    blockReadBytes: ratesOf(host, "BlkioDeviceReadBps"),
    blockWriteBytes: ratesOf(host, "BlkioDeviceWriteBps"),
    blockReadOperations: ratesOf(host, "BlkioDeviceReadIOps"),
    blockWriteOperations: ratesOf(host, "BlkioDeviceWriteIOps"),
    hugepages: hugepagesOf(object(host, "TsboxHugepages")),
  };
}

function microseconds(host: Loose, key: string): number | null {
  const value = amount(host, key);
  if (value === null || value > 0) return value;
  throw fail("InvalidArgument", `invalid ${key} ${value}: give microseconds above 0`);
}

/** Docker's -1 and null both mean the host's value. */
function swappinessOf(host: Loose): number | null {
  const value = typeof host.MemorySwappiness === "number" ? host.MemorySwappiness : -1;
  if (value === -1) return null;
  if (Number.isInteger(value) && value >= 0 && value <= 100) return value;
  throw fail("InvalidArgument", `Invalid value: ${value}, valid memory swappiness range is 0-100`);
}

function sharesOf(host: Loose): number | null {
  const shares = amount(host, "CpuShares");
  if (shares === null || shares > 0) return shares;
  throw fail("InvalidArgument", `invalid CPU shares (${shares}): value must be a positive integer`);
}

/** The kernel's greatest number of processes (PID_MAX_LIMIT). */
const mostPids = 4 << 20;

function pidsOf(host: Loose): number | null {
  const pids = amount(host, "PidsLimit");
  if (pids === null || pids <= mostPids) return pids;
  throw fail("InvalidArgument", `invalid PIDs limit ${pids}: the kernel has ${mostPids} at most; give -1 for no limit`);
}

/** `0-3,5`, of what the host has. */
function listOf(host: Loose, key: "CpusetCpus" | "CpusetMems"): string | null {
  const value = text(host, key);
  if (value === "") return null;
  const [named, what, file] =
    key === "CpusetCpus"
      ? ["cpuset cpus", "CPUs", "/sys/devices/system/cpu/online"]
      : ["cpuset mems", "memory nodes", "/sys/devices/system/node/online"];
  const wrong = (): Error => fail("InvalidArgument", `Invalid value ${value} for ${named}: give numbers and ranges, as 0-3,5`);
  if (!/^\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?)*$/.test(value)) throw wrong();
  const ranges = (list: string): readonly (readonly [number, number])[] =>
    list.split(",").map((range) => {
      const [first = 0, last = first] = range.split("-").map(Number);
      return [first, last];
    });
  const online = onlineOf(file);
  const had = ranges(online);
  for (const [first, last] of ranges(value)) {
    if (last < first) throw wrong();
    for (let number = first; number <= last; number += 1)
      if (!had.some(([from, to]) => number >= from && number <= to))
        throw fail("InvalidArgument", `Requested ${what} are not available - requested ${value}, available: ${online}`);
  }
  return value;
}

/** A kernel without NUMA has one memory node. */
function onlineOf(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return "0";
  }
}

function weightOf(weight: number | null): number | null {
  if (weight === null || (weight >= 10 && weight <= 1000)) return weight;
  throw fail("InvalidArgument", "Range of blkio weight is from 10 to 1000");
}

function ratesOf(host: Loose, key: string): readonly DeviceLimit[] {
  return list(host, key).map((one) => {
    const path = text(one, "Path");
    const rate = amount(one, "Rate");
    if (path.startsWith("/dev/") && rate !== null && rate > 0) return { path, value: rate };
    throw fail("InvalidArgument", `invalid ${key} of "${path}": give a device's path below /dev and a rate above 0`);
  });
}

function hugepagesOf(asked: Loose): Readonly<Record<string, number>> {
  for (const [size, bytes] of Object.entries(asked))
    if (!/^\d+[KMG]B$/.test(size) || typeof bytes !== "number" || bytes < 0)
      throw fail("InvalidArgument", `invalid limit of huge pages of ${size}: give a page size such as 2MB and a number of bytes`);
  return asked as Readonly<Record<string, number>>;
}

/** One limit a name: the last one, as on docker's command line. */
export function ulimitsOf(host: Loose): readonly Ulimit[] {
  const limits = list(host, "Ulimits").map((one): Ulimit => {
    const name = text(one, "Name");
    const soft = typeof one.Soft === "number" ? one.Soft : 0;
    const hard = typeof one.Hard === "number" ? one.Hard : soft;
    if (!ulimitNames.includes(name)) throw fail("InvalidArgument", `invalid ulimit type: ${name}`);
    if (hard !== -1 && (soft > hard || soft === -1))
      throw fail("InvalidArgument", `ulimit soft limit must be less than or equal to hard limit: ${soft} > ${hard}`);
    return { name, soft, hard };
  });
  return [...new Map(limits.map((limit) => [limit.name, limit])).values()];
}

export function shmSizeOf(host: Loose): number {
  const size = amount(host, "ShmSize") ?? 64 << 20;
  if (size > 0) return size;
  throw fail("InvalidArgument", "SHM size can not be less than 0");
}

export function oomScoreOf(host: Loose): number {
  const score = amount(host, "OomScoreAdj") ?? 0;
  if (score >= -1000 && score <= 1000) return score;
  throw fail("InvalidArgument", `Invalid value ${score}, range for oom score adj is [-1000, 1000]`);
}

/** `size=10G`: the quota of the read-write layer. */
export function quotaOf(host: Loose): number | null {
  const options = object(host, "StorageOpt");
  const other = Object.keys(options).find((key) => key !== "size");
  if (other !== undefined) throw fail("InvalidArgument", `unknown storage option ${other}: there is size`);
  const size = text(options, "size");
  if (size === "") return null;
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?$/i.exec(size);
  if (match) return Math.round(Number(match[1]) * 1024 ** Math.max(0, " kmgt".indexOf((match[2] || " ").toLowerCase())));
  throw fail("InvalidArgument", `invalid storage option size=${size}: give a number with k, m, g or t`);
}

export const groupsOf = (host: Loose): readonly string[] => strings(host, "GroupAdd") ?? [];
