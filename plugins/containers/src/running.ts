/** What can be asked of a container that runs, and changed: its processes, what it uses, its limits. */
import { readFileSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import {
  type Call,
  type Container,
  type ContainerChanges,
  type ContainerId,
  type ContainerUsage,
  fail,
  type InterfaceUsage,
  type ProcessTable,
  type Sparse,
  supports,
} from "@tsbox/kernel";
import { attributes } from "./attributes.ts";
import { isAlive, isNotRunning, refuseIdle, runs } from "./decide.ts";
import type { Engine } from "./engine.ts";
import { blockDevices } from "./spec/devices.ts";
import { readTemplate } from "./spec/exec-process.ts";
import { blockDevicesOf, resourcesOf } from "./spec/limits.ts";

/** Of a driver whose processes the host sees. */
async function cgroupOf(engine: Engine, record: Container): Promise<string> {
  const cgroup = readTemplate(engine.records.directory(record.id)).cgroup;
  if (cgroup !== null && supports(await engine.exec(record.drivers.exec), "processes")) return cgroup;
  throw fail("Unsupported", `processes of the exec driver ${record.drivers.exec} are not the host's: they can't be looked at from here`);
}

export async function top(engine: Engine, call: Call, id: ContainerId, psArguments: readonly string[]): Promise<ProcessTable> {
  const record = engine.records.byId(id);
  refuseIdle(record);
  refuseRenamedPid(psArguments);
  const pids = new Set(await ofRunning(record, async () => engine.host.cgroupPids(call, await cgroupOf(engine, record))));
  const run = (argv: readonly string[]): ReturnType<typeof engine.launcher.run> =>
    engine.launcher.run(call, {
      argv: ["ps", ...argv],
      environment: { PATH: process.env.PATH ?? "/usr/bin:/bin", LC_ALL: "C" },
      workingDirectory: "/",
    });
  // A ps that takes a list of pids need not look at all the others.
  let ran = await run([...psArguments, `-q${[...pids].join(",")}`]);
  if (ran.exitCode !== 0) ran = await run(psArguments);
  if (ran.exitCode !== 0)
    throw fail("InvalidArgument", `ps: ${Buffer.from(ran.stderr).toString().trim().split("\n")[0] || `exit code ${ran.exitCode}`}`);
  return parsePs(Buffer.from(ran.stdout).toString(), pids);
}

/** A column that is called PID and holds something else would show the host's processes. */
function refuseRenamedPid(psArguments: readonly string[]): void {
  for (const [, name = "", title = ""] of ` ${psArguments.join(" ")}`.matchAll(/\s(\S*)=\s*(PID\S*)/g))
    if (name !== "pid") throw fail("InvalidArgument", `specifying "${name}=${title}" is not allowed`);
}

/** Rows of the container's processes; the last column has the rest of its line. */
export function parsePs(text: string, pids: ReadonlySet<number>): ProcessTable {
  const [head = "", ...lines] = text.split("\n");
  const titles = head.trim().split(/\s+/);
  const column = titles.indexOf("PID");
  if (column < 0) throw fail("InvalidArgument", "Couldn't find PID field in ps output");
  const processes = lines
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => pids.has(Number(fields[column])))
    .map((fields) => [...fields.slice(0, titles.length - 1), fields.slice(titles.length - 1).join(" ")]);
  return { titles, processes };
}

export async function usage(engine: Engine, call: Call, id: ContainerId): Promise<ContainerUsage | null> {
  const record = engine.records.byId(id);
  if (!runs(record) || record.pid === null) return null;
  const around = {
    at: Date.now(),
    interfaces: interfaces(record.pid),
    host: { cpuNanoseconds: hostTime(), cpus: availableParallelism(), memoryBytes: totalmem() },
  };
  const driver = await engine.exec(record.drivers.exec);
  if (supports(driver, "stats")) return { ...unknown, ...(await driver.stats(call, id)), ...around };
  try {
    return { ...(await ofRunning(record, async () => engine.host.cgroupUsage(call, await cgroupOf(engine, record)))), ...around };
  } catch (error) {
    if (isNotRunning(error)) return null;
    throw error;
  }
}

/** What fails since the container has ended meanwhile, and its cgroup or its directory is gone, fails for that. */
async function ofRunning<T>(record: Container, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isAlive(record.pid)) throw error;
    throw fail("FailedPrecondition", `container ${record.id} is not running`, { reason: "containers/not-running", cause: error });
  }
}

/** For what a format does not tell. */
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

/** As the first process sees them, without its loopback. */
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

/** Of all processors, in and out of user mode and idle: the first line of /proc/stat, in hundredths of a second. */
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

/** Under the container's lock. */
export async function update(engine: Engine, call: Call, record: Container, changes: Sparse<ContainerChanges>): Promise<readonly string[]> {
  const { resources, restart, hostConfig } = changes;
  const warnings = resources && runs(record) ? await limit(engine, call, record, resources) : [];
  const config = {
    ...record.config,
    ...(resources ? { resources } : {}),
    ...(restart ? { restart } : {}),
    raw: { ...record.config.raw, hostConfig: hostConfig ?? record.config.raw.hostConfig },
  };
  // Its health may have changed while limits were set.
  await engine.records.save(call, { ...engine.records.byId(record.id), config });
  await engine.events.publish(call, { type: "container", action: "update", id: record.id, attributes: attributes(record) });
  return warnings;
}

async function limit(engine: Engine, call: Call, record: Container, resources: ContainerChanges["resources"]): Promise<readonly string[]> {
  const words = resourcesOf(resources, blockDevices(blockDevicesOf(resources)));
  const driver = await engine.exec(record.drivers.exec);
  if (supports(driver, "update")) {
    await driver.update(call, record.id, words);
    return [];
  }
  return engine.host.cgroupUpdate(call, await cgroupOf(engine, record), words);
}
