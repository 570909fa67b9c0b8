/**
 * `exited` and gone: what happens when a first process ends, and how a container is removed. Whoever waits is answered first, the sweeping
 * comes after.
 */
import { type Call, type Container, type ContainerId, type ExitStatus, fail, isTsboxError, type Sparse, type ViewKey } from "@tsbox/kernel";
import { attributes } from "./attributes.ts";
import { type Background, later } from "./background.ts";
import { decide, isNotRunning, runs } from "./decide.ts";
import { diskDirectory } from "./directories.ts";
import { dropEarly } from "./early-shims.ts";
import { endAtOnce } from "./ending.ts";
import type { Drivers, Engine, Journal, Place, Services, ShimSupply, Turns, Watches } from "./engine.ts";
import { release } from "./mounts/live.ts";
import { afterEnd } from "./restart-policy.ts";

/** What the end and the removal of a container need of the engine. */
export type EndNeeds = Journal &
  Drivers &
  Services &
  ShimSupply &
  Turns &
  Watches &
  Background &
  Place &
  Pick<Engine, "execs" | "hooks" | "removing" | "roots">;

/**
 * Under the container's lock: the first process, which was `pid`, has ended; its status is on disk. Told twice, or of an earlier round, it
 * is no news.
 */
export async function ended(engine: EndNeeds, id: ContainerId, pid: number | null, status: ExitStatus): Promise<void> {
  if (!engine.records.has(id)) return;
  const before = engine.records.byId(id);
  if (!runs(before) || before.pid !== pid) return;
  const call = engine.call();
  const record: Container = {
    ...before,
    ...afterEnd(before, status, Date.now()),
    pid: null,
    exit: status,
    endpoints: [],
    idMaps: null,
    health: unwatched(before),
  };
  engine.healthWatch.stop(id);
  engine.idRanges.free(id);
  engine.execs.dropUnstarted(id);
  const told = engine.outOfMemory.delete(id);
  if (status.outOfMemory && !told)
    await engine.events.publish(call, { type: "container", action: "oom", id, attributes: attributes(record) });
  const seconds = Math.max(0, Math.round((status.at - (before.startedAt ?? status.at)) / 1000));
  const named = { ...attributes(record), execDuration: String(seconds), exitCode: String(status.code) };
  if (removes(engine, record)) {
    await engine.records.remove(call, record);
    await tell(engine, call, record, status, named);
    engine.waiters.happened(id, "removed", status);
    later(engine, async () => sweep(engine, before, true));
    await engine.events.publish(call, { type: "container", action: "destroy", id, attributes: attributes(record) });
    await engine.hooks.removed(call, id);
  } else {
    engine.records.note(record);
    await tell(engine, call, record, status, named);
    // Before it starts again: its address and its ports are the next start's.
    await disconnect(engine, call, before);
    engine.restarts.schedule(record);
    // Nobody waits for the disk to hear of an end. A loop of restarts writes to tmpfs only: the durable record says that it runs, and so it
    // will again.
    if (record.status !== "restarting") await engine.records.keepSoon(call, record);
  }
}

/** After the start that it may have overtaken, however long that takes. */
export function heardEnd(engine: EndNeeds, id: ContainerId, pid: number | null, status: ExitStatus): Promise<void> {
  return engine.locks.run(id, () => ended(engine, id, pid, status), Number.POSITIVE_INFINITY);
}

/** As Docker: what does not run is not healthy. */
const unwatched = ({ health }: Container): Container["health"] => (health === null ? null : { ...health, status: "unhealthy" });

/** `--rm`, unless this end is a restart's. */
const removes = (engine: Pick<Engine, "kept">, record: Container): boolean => record.config.autoRemove && !engine.kept.has(record.id);

async function tell(
  engine: Journal & Pick<Engine, "hooks" | "kept" | "volumes">,
  call: Call,
  record: Container,
  status: ExitStatus,
  named: Readonly<Record<string, string>>,
): Promise<void> {
  await engine.events.publish(call, { type: "container", action: "die", id: record.id, attributes: named });
  // Under the container's lock: a start that comes next attaches anew. And before anybody is told, who may want to remove a volume.
  await attempt(call, "let go of a volume", () => release(engine, call, record));
  if (removes(engine, record)) await releaseClaims(engine, call, record);
  engine.waiters.happened(record.id, "exit", status);
  await engine.hooks.exited(call, record.id, status);
}

/** From created, exited and dead; by force from everywhere. One removal at a time of one container, and no start beside it. */
export async function remove(
  engine: EndNeeds,
  call: Call,
  id: ContainerId,
  { force = false, volumes = false }: Sparse<{ force: boolean; volumes: boolean }>,
): Promise<void> {
  if (engine.removing.has(id)) throw fail("Conflict", `removal of container ${id} is already in progress`);
  engine.removing.add(id);
  try {
    if (force) await endAtOnce(engine, call, id, true).catch(unlessIdle);
    // With --rm its end was its removal.
    if (!engine.records.has(id)) return;
    await decide(engine, id, async (record) => {
      refuseRemoval(record);
      await forget(engine, call, id, volumes);
    });
  } finally {
    engine.removing.delete(id);
  }
}

/** It does not run: all the better. */
function unlessIdle(error: unknown): void {
  if (!isNotRunning(error)) throw error;
}

function refuseRemoval({ name, status }: Container): void {
  if (status === "paused")
    throw fail("Conflict", `cannot remove container "${name}": container is paused and must be unpaused first, or force remove`);
  if (status === "running" || status === "restarting")
    throw fail("Conflict", `cannot remove container "${name}": container is ${status}: stop the container before removing or force remove`);
}

/** Removes what does not run; `volumes`: with its anonymous volumes that nobody else has. */
export async function forget(engine: EndNeeds, call: Call, id: ContainerId, volumes: boolean): Promise<void> {
  await engine.hooks.beforeRemove(call, id);
  await dropEarly(engine, call, id);
  const last = engine.records.byId(id);
  await engine.records.remove(call, last);
  await releaseClaims(engine, call, last);
  await sweep(engine, last, volumes);
  engine.waiters.happened(id, "removed", last.exit ?? { code: 0, signal: null, outOfMemory: false, at: Date.now() });
  await engine.events.publish(call, { type: "container", action: "destroy", id, attributes: attributes(last) });
  await engine.hooks.removed(call, id);
}

/** From now on its volumes may be removed. */
async function releaseClaims(engine: Pick<Engine, "volumes">, call: Call, record: Container): Promise<void> {
  for (const point of record.mounts) if (point.kind === "volume") await engine.volumes.release(call, point.name, record.id);
}

/** All that a container leaves outside its namespaces. Each step is tried, whatever became of the others. */
async function sweep(engine: EndNeeds, record: Container, volumes: boolean): Promise<void> {
  const call = engine.call();
  await disconnect(engine, call, record);
  for (const point of record.mounts) {
    if (point.kind === "image")
      await attempt(call, "remove an image's view", async () =>
        (await engine.storage(record.drivers.storage)).remove(call, point.view as ViewKey),
      );
    // Another container may have it by --volumes-from: then it is that one's.
    if (point.kind === "volume" && point.anonymous && volumes && (await engine.volumes.users(call, point.name)).length === 0)
      await attempt(call, "remove a volume", () => engine.volumes.remove(call, point.name, {}));
  }
  await attempt(call, "remove the layer", async () => (await engine.storage(record.drivers.storage)).remove(call, record.layer));
  await attempt(call, "forget the container", async () => (await engine.exec(record.drivers.exec)).delete(call, record.id));
  // One call of native code each, off this thread: what Node does file by file would hold up everybody else.
  await attempt(call, "remove its files", () => engine.host.removeTree(call, diskDirectory(engine, record.id)));
  await attempt(call, "remove its state", () => engine.host.removeTree(call, engine.records.directory(record.id)));
  engine.roots.forget(record.id);
}

export async function disconnect(engine: Pick<Engine, "networks">, call: Call, record: Container): Promise<void> {
  for (const endpoint of record.endpoints) await attempt(call, "free the address", () => engine.networks.disconnect(call, endpoint));
}

/** A failure of clean-up is said and is nobody's failure; what is gone already is as wanted. */
async function attempt(call: Call, what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(isTsboxError(error) && error.code === "NotFound")) call.log.warn(`can't ${what}: ${String(error)}`);
  }
}
