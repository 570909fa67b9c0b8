/** The limits in a create or update body: `HostConfig`'s resources, ulimits and out-of-memory score, with Docker's checks and messages. */
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
  const reservation = amount(host, "MemoryReservation");
  if (memory !== null && reservation !== null && reservation > memory)
    throw fail("InvalidArgument", "Minimum memory limit can not be less than memory reservation limit, see usage");
  const nanoCpus = amount(host, "NanoCpus");
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
    cpuRealtimePeriod: amount(host, "CpuRealtimePeriod"),
    cpuRealtimeRuntime: amount(host, "CpuRealtimeRuntime"),
    pids: amount(host, "PidsLimit"),
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

/** `0-3,5` */
function listOf(host: Loose, key: string): string | null {
  const value = text(host, key);
  if (value === "") return null;
  if (/^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(value)) return value;
  throw fail(
    "InvalidArgument",
    `Invalid value ${value} for ${key === "CpusetCpus" ? "cpuset cpus" : "cpuset mems"}: give numbers and ranges, as 0-3,5`,
  );
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

export function ulimitsOf(host: Loose): readonly Ulimit[] {
  return list(host, "Ulimits").map((one) => {
    const name = text(one, "Name");
    const soft = typeof one.Soft === "number" ? one.Soft : 0;
    const hard = typeof one.Hard === "number" ? one.Hard : soft;
    if (!ulimitNames.includes(name)) throw fail("InvalidArgument", `invalid ulimit type: ${name}`);
    if (hard !== -1 && (soft > hard || soft === -1))
      throw fail("InvalidArgument", `ulimit soft limit must be less than or equal to hard limit: ${soft} > ${hard}`);
    return { name, soft, hard };
  });
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
