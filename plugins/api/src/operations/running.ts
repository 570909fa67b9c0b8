/** Docker's operations on running containers: top, stats, update. */
import { setTimeout as pause } from "node:timers/promises";
import {
  type ApiService,
  type Call,
  type CgroupUsage,
  type Container,
  type ContainersService,
  type ContainerUsage,
  fail,
  type Json,
  type Strings,
} from "@tsbox/kernel";
import { resourcesOf } from "./create-limits.ts";
import { type Loose, object } from "./loose.ts";
import { parseRestart } from "./restart.ts";
import { time } from "./time.ts";

type RunningVerbs = Pick<ApiService, "containerTop" | "containerStats" | "containerUpdate">;

/** Docker's sampling interval, in milliseconds. */
const interval = 1000;

export function runningVerbs(containers: ContainersService): RunningVerbs {
  return {
    containerTop: async (call, id, psArgs) => {
      const { titles, processes } = await containers.top(
        call,
        (await containers.get(call, id)).id,
        (psArgs || "-ef").split(" ").filter(Boolean),
      );
      return { Titles: titles, Processes: processes };
    },
    containerStats: async (call, id, { stream, oneShot }) => {
      const record = await containers.get(call, id);
      return stream === false ? single(containers, call, record, oneShot ?? false) : samples(containers, call, record);
    },
    containerUpdate: async (call, id, body) => {
      const record = await containers.get(call, id);
      const changes = changesOf(record, body);
      return { Warnings: await containers.update(call, record.id, changes) };
    },
  };
}

async function* single(containers: ContainersService, call: Call, record: Container, oneShot: boolean): AsyncGenerator<Json> {
  const first = await containers.usage(call, record.id);
  if (first === null || oneShot) {
    yield show(record, null, first);
    return;
  }
  await pause(interval, undefined, { signal: call.signal });
  yield show(record, first, await containers.usage(call, record.id));
}

/** Ends when the container is removed. */
async function* samples(containers: ContainersService, call: Call, record: Container): AsyncGenerator<Json> {
  let before: ContainerUsage | null = null;
  for (;;) {
    let now: ContainerUsage | null;
    try {
      now = await containers.usage(call, record.id);
    } catch {
      return;
    }
    yield show(record, before, now);
    before = now;
    await pause(interval, undefined, { signal: call.signal });
  }
}

const zeroCpu = {
  cpu_usage: { total_usage: 0, usage_in_kernelmode: 0, usage_in_usermode: 0 },
  throttling_data: { periods: 0, throttled_periods: 0, throttled_time: 0 },
};

function show({ id, name }: Container, before: ContainerUsage | null, now: ContainerUsage | null): Json {
  return {
    name: `/${name}`,
    id,
    read: time(now?.at ?? null),
    preread: time(before?.at ?? null),
    num_procs: 0,
    pids_stats: now === null ? {} : pids(now),
    blkio_stats: blocks(now),
    storage_stats: {},
    cpu_stats: now === null ? zeroCpu : cpu(now),
    precpu_stats: before === null ? zeroCpu : cpu(before),
    memory_stats: now === null ? {} : memory(now),
    ...(now === null || Object.keys(now.interfaces).length === 0 ? {} : { networks: networks(now) }),
  };
}

function cpu(usage: ContainerUsage): Json {
  return {
    cpu_usage: {
      total_usage: usage.cpuNanoseconds,
      usage_in_kernelmode: usage.cpuSystemNanoseconds,
      usage_in_usermode: usage.cpuUserNanoseconds,
    },
    system_cpu_usage: usage.host.cpuNanoseconds,
    online_cpus: usage.host.cpus,
    throttling_data: {
      periods: usage.cpuPeriods,
      throttled_periods: usage.cpuThrottledPeriods,
      throttled_time: usage.cpuThrottledNanoseconds,
    },
  };
}

/** The limit is the host's memory if there is no limit, or a higher one. */
function memory(usage: ContainerUsage): Json {
  const { memoryBytes, memoryPeakBytes, memoryFailures, memoryDetail, memoryLimitBytes, host } = usage;
  return {
    usage: memoryBytes,
    // In Docker's answer, only cgroup v1 has these two.
    ...(memoryFailures === null ? {} : { max_usage: memoryPeakBytes, failcnt: memoryFailures }),
    stats: memoryDetail,
    limit: Math.min(memoryLimitBytes ?? host.memoryBytes, host.memoryBytes),
  };
}

/** Without a limit, the field is left out. */
const pids = ({ pids: current, pidsLimit }: CgroupUsage): Json => ({ current, ...(pidsLimit === null ? {} : { limit: pidsLimit }) });

function blocks(usage: ContainerUsage | null): Json {
  const bytes = (usage?.block ?? []).flatMap(({ major, minor, read, written }) => [
    { major, minor, op: "read", value: read },
    { major, minor, op: "write", value: written },
  ]);
  return {
    io_service_bytes_recursive: bytes.length === 0 ? null : bytes,
    io_serviced_recursive: null,
    io_queue_recursive: null,
    io_service_time_recursive: null,
    io_wait_time_recursive: null,
    io_merged_recursive: null,
    io_time_recursive: null,
    sectors_recursive: null,
  };
}

function networks({ interfaces }: ContainerUsage): Json {
  return Object.fromEntries(
    Object.entries(interfaces).map(([name, { received, sent }]) => [
      name,
      {
        rx_bytes: received.bytes,
        rx_packets: received.packets,
        rx_errors: received.errors,
        rx_dropped: received.dropped,
        tx_bytes: sent.bytes,
        tx_packets: sent.packets,
        tx_errors: sent.errors,
        tx_dropped: sent.dropped,
      },
    ]),
  );
}

/** The fields of HostConfig that an update may change; 0 and "" leave a limit as it is. */
const updatable: readonly string[] = [
  "BlkioWeight",
  "CpuPeriod",
  "CpuQuota",
  "CpuRealtimePeriod",
  "CpuRealtimeRuntime",
  "CpuShares",
  "CpusetCpus",
  "CpusetMems",
  "Memory",
  "MemoryReservation",
  "MemorySwap",
  "NanoCpus",
  "PidsLimit",
];

function changesOf(record: Container, body: Json): Parameters<ContainersService["update"]>[2] {
  const had: Loose = record.config.raw.hostConfig;
  const asked = Object.fromEntries(
    updatable
      .filter((key) => body[key] !== undefined && body[key] !== null && body[key] !== 0 && body[key] !== "")
      .map((key) => [key, body[key]]),
  );
  refuseConflicts(had, asked);
  const policy = object(body, "RestartPolicy");
  const restarts = typeof policy.Name === "string" && policy.Name !== "";
  if (restarts && policy.Name !== "no" && record.config.autoRemove)
    throw fail("InvalidArgument", "Restart policy cannot be updated because AutoRemove is enabled for the container");
  const hostConfig = { ...had, ...asked, ...(restarts ? { RestartPolicy: policy } : {}) };
  const limits = Object.keys(asked).length > 0;
  return {
    hostConfig,
    ...(limits ? { resources: resourcesOf(hostConfig) } : {}),
    ...(restarts ? { restart: parseRestart({ RestartPolicy: policy }) } : {}),
  };
}

/** Docker's rules and messages. */
function refuseConflicts(had: Loose, asked: Loose): void {
  const number = (from: Loose, key: string): number => (typeof from[key] === "number" ? from[key] : 0);
  const words: Strings = { CpuPeriod: "CPU Period", CpuQuota: "CPU Quota" };
  for (const [key, name] of Object.entries(words)) {
    if (number(asked, "NanoCpus") > 0 && number(had, key) > 0)
      throw fail("InvalidArgument", `Conflicting options: Nano CPUs cannot be updated as ${name} has already been set`);
    if (number(asked, key) > 0 && number(had, "NanoCpus") > 0)
      throw fail("InvalidArgument", `Conflicting options: ${name} cannot be updated as NanoCPUs has already been set`);
  }
  const swap = number(had, "MemorySwap");
  if (swap > 0 && asked.MemorySwap === undefined && number(asked, "Memory") > swap)
    throw fail("Conflict", "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time");
}
