/** The resource usage of a running container, with the resources of the host. */
import { readFileSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import type { Call, ContainerId, ContainerUsage, InterfaceUsage } from "@tsbox/kernel";
import { isNotRunning, runs } from "./decide.ts";
import type { Engine } from "./engine.ts";

/** Null: it does not run. */
export async function usage(engine: Pick<Engine, "records" | "shims">, call: Call, id: ContainerId): Promise<ContainerUsage | null> {
  const record = engine.records.byId(id);
  if (!runs(record) || record.pid === null) return null;
  const around = {
    at: Date.now(),
    interfaces: interfaces(record.pid),
    host: { cpuNanoseconds: hostTime(), cpus: availableParallelism(), memoryBytes: totalmem() },
  };
  try {
    return { ...unknown, ...(await engine.shims.container(record).usage(call)), ...around };
  } catch (error) {
    if (isNotRunning(error)) return null;
    throw error;
  }
}

/** Defaults for values that a driver does not report. */
const unknown = {
  cpuNanoseconds: 0,
  cpuUserNanoseconds: 0,
  cpuSystemNanoseconds: 0,
  cpuPeriods: 0,
  cpuThrottledPeriods: 0,
  cpuThrottledNanoseconds: 0,
  memoryBytes: 0,
  memoryPeakBytes: 0,
  memoryLimitBytes: null,
  memoryDetail: {},
  memoryFailures: null,
  pids: 0,
  pidsLimit: null,
  block: [],
  oomKills: 0,
} as const;

/** The first process's network interfaces, without loopback. */
function interfaces(pid: number): Readonly<Record<string, InterfaceUsage>> {
  const found: Record<string, InterfaceUsage> = {};
  for (const line of read(`/proc/${pid}/net/dev`).split("\n")) {
    const [, name = "", numbers = ""] = /^\s*([^:]+):(.*)$/.exec(line) ?? [];
    if (name === "" || name === "lo") continue;
    const [rb = 0, rp = 0, re = 0, rd = 0, , , , , tb = 0, tp = 0, te = 0, td = 0] = numbers.trim().split(/\s+/).map(Number);
    found[name] = {
      received: { bytes: rb, packets: rp, errors: re, dropped: rd },
      sent: { bytes: tb, packets: tp, errors: te, dropped: td },
    };
  }
  return found;
}

/**
 * The time of all processors in nanoseconds, user, system and idle, from the first line of /proc/stat, whose unit is a hundredth of a
 * second.
 */
function hostTime(): number {
  const [, ...ticks] = (read("/proc/stat").split("\n")[0] ?? "").trim().split(/\s+/).map(Number);
  return ticks.slice(0, 8).reduce((sum, one) => sum + one, 0) * 10_000_000;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // The process has ended meanwhile.
    return "";
  }
}
