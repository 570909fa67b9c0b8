/** Processes and cgroups of this engine without a living shim: the shim is dead, or several processes died at once. */
import { readFileSync } from "node:fs";
import { rmdir } from "node:fs/promises";
import { join } from "node:path";
import type { Call } from "@tsbox/kernel";
import { happens, runs } from "./decide.ts";
import type { Engine } from "./engine.ts";
import { type GroupOwner, groupsOf, idsIn, idsWithGroups, ownDirectories, ownerOf, processesIn, removeGroup } from "./groups.ts";

type Needs = Pick<Engine, "engineId" | "records" | "shims">;

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
export async function endOrphans(engine: Needs, call: Call): Promise<void> {
  for (const id of idsWithGroups(engine)) {
    const record = engine.records.has(id) ? engine.records.byId(id) : null;
    if (record !== null && runs(record)) continue;
    const owner = record === null ? { id, cgroupParent: "" } : ownerOf(record);
    const pids = processesIn(groupsOf(engine, owner));
    if (pids.length === 0 || pids.some(hasShim)) continue;
    call.log.warn(`container ${record?.name ?? id} runs without record and shim: it is killed`);
    await clear(engine, call, owner);
  }
}

/**
 * Ends the remaining processes in the container's cgroup and removes the cgroup, after its first process has ended or its start has failed:
 * its shim would have done so, and may be dead. If the container has been started since, that start has done so. The caller holds the
 * container's lock.
 */
export async function clearAfter(engine: Needs, call: Call, owner: GroupOwner): Promise<void> {
  if (engine.records.has(owner.id) && runs(engine.records.byId(owner.id))) return;
  await clear(engine, call, owner);
}

async function clear(engine: Needs, call: Call, owner: GroupOwner): Promise<void> {
  if (await end(engine, call, owner)) for (const group of groupsOf(engine, owner)) await removeGroup(group);
  else call.log.warn(`processes of container ${owner.id} can't be killed: look at those in its cgroup`);
}

/** Kills the processes. True when all of them end in time. The one chosen may have ended by itself, so the list is read again. */
async function end(engine: Needs, call: Call, owner: GroupOwner): Promise<boolean> {
  const deadline = Date.now() + endTimeout;
  for (;;) {
    const pids = processesIn(groupsOf(engine, owner));
    if (pids.length === 0) return true;
    if (Date.now() > deadline) return false;
    const first = pids.find((pid) => !pids.includes(parentOf(pid) ?? 0)) ?? 0;
    const killed = engine.shims.kill(call, owner.id, first).catch(() => {});
    await happens(killed, endTimeout);
    await new Promise((resolve) => setTimeout(resolve, lookEvery));
  }
}

/** Removes cgroups of containers that no longer exist, and the engine's own cgroup if it is empty. */
export async function sweepCgroups(engine: Pick<Engine, "engineId" | "records">): Promise<void> {
  for (const directory of ownDirectories(engine)) {
    for (const id of idsIn(directory)) if (!engine.records.has(id)) await removeGroup(join(directory, id));
    // A cgroup with processes can't be removed and stays.
    await rmdir(directory).catch(() => {});
  }
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
