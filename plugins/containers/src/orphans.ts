/** Cgroups of this engine that no record accounts for, as the death of several processes at once leaves them. */
import { readdirSync, readFileSync } from "node:fs";
import { readdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import type { Call, ContainerId } from "@tsbox/kernel";
import { happens } from "./decide.ts";
import type { Engine } from "./engine.ts";

/** Milliseconds that the processes of one container have to be gone after SIGKILL; a new daemon serves then. */
const endTimeout = 1500;
const lookEvery = 20;

/**
 * A container whose start the last daemon did not record, and whose shim has died since: nobody was told of it, and nobody else can end it.
 * Called before anything is started, so whatever runs is of before.
 */
export async function endOrphans(engine: Pick<Engine, "engineId" | "records" | "shims">, call: Call): Promise<void> {
  for (const id of new Set(parents(engine).flatMap(containersIn))) {
    const record = engine.records.has(id) ? engine.records.byId(id) : null;
    if (record?.status === "running" || record?.status === "paused") continue;
    const pids = processesOf(engine, id);
    if (pids.length === 0 || pids.some(hasShim)) continue;
    call.log.warn(`container ${record?.name ?? id} runs without record and shim: it is killed`);
    if (await end(engine, call, id)) for (const parent of parents(engine)) await removeGroup(join(parent, id));
    else call.log.warn(`container ${record?.name ?? id} can't be killed: look at the processes in its cgroup`);
  }
}

/** Whether all of them went in time. One that is named may have ended by itself just then: so they are looked at again. */
async function end(engine: Pick<Engine, "engineId" | "records" | "shims">, call: Call, id: ContainerId): Promise<boolean> {
  const deadline = Date.now() + endTimeout;
  for (;;) {
    const pids = processesOf(engine, id);
    if (pids.length === 0) return true;
    if (Date.now() > deadline) return false;
    const first = pids.find((pid) => !pids.includes(parentOf(pid) ?? 0)) ?? 0;
    const killed = engine.shims.kill(call, id, first).catch(() => {});
    await happens(killed, endTimeout);
    await new Promise((resolve) => setTimeout(resolve, lookEvery));
  }
}

/** Cgroups of containers that are no more, and the engine's own where nothing is left in it. */
export async function sweepCgroups(engine: Pick<Engine, "engineId" | "records">): Promise<void> {
  for (const parent of parents(engine)) {
    for (const id of containersIn(parent)) if (!engine.records.has(id)) await removeGroup(join(parent, id));
    // What still runs keeps it.
    await rmdir(parent).catch(() => {});
  }
}

/** With the groups that the container itself has made in it. What still runs keeps it. */
async function removeGroup(group: string): Promise<void> {
  const below = await readdir(group, { recursive: true, withFileTypes: true }).catch(() => []);
  const inside = below.filter((entry) => entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
  for (const one of [...inside.sort().reverse(), group]) await rmdir(one).catch(() => {});
}

/** The engine's own directory in each hierarchy. */
function parents(engine: Pick<Engine, "engineId" | "records">): readonly string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(" - cgroup"))
    .map((line) => join(line.split(" ")[4] ?? "", `tsbox-${engine.engineId}`));
}

function containersIn(parent: string): readonly ContainerId[] {
  try {
    const entries = readdirSync(parent, { withFileTypes: true });
    return entries.flatMap(({ name }) => (/^[0-9a-f]{64}$/.test(name) ? [name as ContainerId] : []));
  } catch {
    return [];
  }
}

/** Of the container's own group, where its first process is. */
function processesOf(engine: Pick<Engine, "engineId" | "records">, id: ContainerId): readonly number[] {
  for (const parent of parents(engine))
    try {
      const pids = readFileSync(join(parent, id, "cgroup.procs"), "utf8")
        .split("\n")
        .filter(Boolean)
        .map(Number);
      if (pids.length > 0) return pids;
    } catch {
      // Not in this hierarchy, or gone.
    }
  return [];
}

/** A shim is the parent of its container's first process as long as it lives; then the launcher is. */
function hasShim(pid: number): boolean {
  try {
    return readFileSync(`/proc/${parentOf(pid)}/comm`, "utf8") === "tsbox:[shim]\n";
  } catch {
    return false;
  }
}

function parentOf(pid: number): number | null {
  try {
    return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  } catch {
    return null;
  }
}
