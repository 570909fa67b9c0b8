/** Cgroups of this engine without a record, which remain when several processes die at once. */
import { readdirSync, readFileSync } from "node:fs";
import { readdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import type { Call, ContainerId } from "@tsbox/kernel";
import { happens } from "./decide.ts";
import type { Engine } from "./engine.ts";

/**
 * How long, in milliseconds, the processes of one container may take to end after SIGKILL. Then the new daemon serves without waiting for
 * them.
 */
const endTimeout = 1500;
const lookEvery = 20;

/**
 * Kills containers whose start the last daemon did not record and whose shim has died since: no client got an answer, and no other process
 * can end them. It runs before any start, so everything that runs is from before this daemon.
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

/** Whether all processes end in time. The process chosen may have ended by itself, so the list is read again. */
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

/** Removes cgroups of containers that no longer exist, and the engine's own cgroup if it is empty. */
export async function sweepCgroups(engine: Pick<Engine, "engineId" | "records">): Promise<void> {
  for (const parent of parents(engine)) {
    for (const id of containersIn(parent)) if (!engine.records.has(id)) await removeGroup(join(parent, id));
    // A cgroup with processes can't be removed and stays.
    await rmdir(parent).catch(() => {});
  }
}

/** Removes a cgroup and those that the container has created in it. A cgroup with processes stays. */
async function removeGroup(group: string): Promise<void> {
  const below = await readdir(group, { recursive: true, withFileTypes: true }).catch(() => []);
  const inside = below.filter((entry) => entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
  for (const one of [...inside.sort().reverse(), group]) await rmdir(one).catch(() => {});
}

/** The engine's own cgroup in each hierarchy. */
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

/** The processes in the container's own cgroup, where its first process is. */
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

/** Whether the process has a living shim: the shim is the parent of the container's first process; after its death the launcher is. */
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
