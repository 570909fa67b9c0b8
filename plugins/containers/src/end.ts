/** The end of a container's first process, and the removal of containers. Waiting callers are answered first; cleanup follows. */
import { type Call, type Container, type ContainerId, type ExitStatus, fail, isTsboxError, type Sparse, type ViewKey } from "@tsbox/kernel";
import { attributes } from "./attributes.ts";
import { type Background, later } from "./background.ts";
import { decide, isNotRunning, runs } from "./decide.ts";
import { diskDirectory } from "./directories.ts";
import { dropEarly } from "./early-shims.ts";
import { endAtOnce } from "./ending.ts";
import type { Drivers, Engine, Journal, Place, Services, ShimSupply, Turns, Watches } from "./engine.ts";
import { forgetEnd, known } from "./formats.ts";
import { release } from "./mounts/live.ts";
import { afterEnd } from "./restart-policy.ts";

/** The parts of the engine that the end and the removal of a container need. */
export type EndNeeds = Journal &
  Drivers &
  Services &
  ShimSupply &
  Turns &
  Watches &
  Background &
  Place &
  Pick<Engine, "execs" | "hooks" | "leftBehind" | "removing" | "roots">;

/**
 * Records that the first process, `pid`, has ended. The caller holds the container's lock; the status is on disk. A report that comes
 * twice, or is about an earlier round, is ignored.
 */
export async function ended(engine: EndNeeds, id: ContainerId, pid: number | null, reported: ExitStatus): Promise<void> {
  if (!engine.records.has(id)) return;
  const before = engine.records.byId(id);
  if (!runs(before) || before.pid !== pid) return;
  const call = engine.call();
  const status = await known(engine, call, before, reported);
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
  engine.followers.ended(id);
  engine.idRanges.free(id);
  engine.execs.dropUnstarted(id);
  const wasReported = engine.outOfMemory.delete(id);
  if (status.outOfMemory && !wasReported)
    await engine.events.publish(call, { type: "container", action: "oom", id, attributes: attributes(record) });
  const seconds = Math.max(0, Math.round((status.at - (before.startedAt ?? status.at)) / 1000));
  const named = { ...attributes(record), execDuration: String(seconds), exitCode: String(status.code) };
  if (removes(engine, record)) {
    await engine.records.remove(call, record);
    await reportEnd(engine, call, record, status, named);
    engine.waiters.happened(id, "removed", status);
    later(engine, async () => sweep(engine, before, true));
    await engine.events.publish(call, { type: "container", action: "destroy", id, attributes: attributes(record) });
    await engine.hooks.removed(call, id);
  } else {
    engine.records.note(record);
    await reportEnd(engine, call, record, status, named);
    // Before the restart, which needs the address, the ports and the format.
    await disconnect(engine, call, before);
    await attempt(call, "end the container in its format", () => forgetEnd(engine, call, before));
    engine.restarts.schedule(record);
    // No caller waits for the disk. A restart loop writes only to tmpfs: the durable record says that the container runs, and it soon will
    // again.
    if (record.status !== "restarting") await engine.records.keepSoon(call, record);
  }
}

/** Waits without a timeout for the container's lock: a start may still hold it when the process that it started has already ended. */
export function recordEnd(engine: EndNeeds, id: ContainerId, pid: number | null, status: ExitStatus): Promise<void> {
  return engine.locks.run(id, () => ended(engine, id, pid, status), Number.POSITIVE_INFINITY);
}

/** A container that does not run is unhealthy, as in Docker. */
const unwatched = ({ health }: Container): Container["health"] => (health === null ? null : { ...health, status: "unhealthy" });

/** True for `--rm`, unless the end is part of a restart. */
const removes = (engine: Pick<Engine, "kept">, record: Container): boolean => record.config.autoRemove && !engine.kept.has(record.id);

async function reportEnd(
  engine: Journal & Drivers & Pick<Engine, "hooks" | "kept" | "volumes">,
  call: Call,
  record: Container,
  status: ExitStatus,
  named: Readonly<Record<string, string>>,
): Promise<void> {
  await engine.events.publish(call, { type: "container", action: "die", id: record.id, attributes: named });
  // Under the container's lock, since the next start attaches volumes again; and before the waiters are answered, since they may want to
  // remove a volume.
  await attempt(call, "release its mounts", () => release(engine, call, record));
  if (removes(engine, record)) await releaseClaims(engine, call, record);
  engine.waiters.happened(record.id, "exit", status);
  await engine.hooks.exited(call, record.id, status);
}

/**
 * Removes a container that is created, exited or dead; with `force`, in any state. While it goes on, a second removal fails and the
 * container can't be started.
 */
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
    // The end of a container with `--rm` has already removed it.
    if (!engine.records.has(id)) return;
    await decide(engine, id, async (record) => {
      refuseRemoval(record);
      await forget(engine, call, id, volumes);
    });
  } finally {
    engine.removing.delete(id);
  }
}

/** Ignores that the container does not run: it needs no end. */
function unlessIdle(error: unknown): void {
  if (!isNotRunning(error)) throw error;
}

function refuseRemoval({ name, status }: Container): void {
  if (status === "paused")
    throw fail("Conflict", `cannot remove container "${name}": container is paused and must be unpaused first, or force remove`);
  if (status === "running" || status === "restarting")
    throw fail("Conflict", `cannot remove container "${name}": container is ${status}: stop the container before removing or force remove`);
}

/** Removes a container that does not run. `volumes`: also its anonymous volumes that no other container uses. */
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

/** Releases the container's claims, so that its volumes may be removed. */
async function releaseClaims(engine: Pick<Engine, "volumes">, call: Call, record: Container): Promise<void> {
  for (const point of record.mounts) if (point.kind === "volume") await engine.volumes.release(call, point.name, record.id);
}

/** Removes everything that a container leaves outside its namespaces. Each step runs even if an earlier one failed. */
async function sweep(engine: EndNeeds, record: Container, volumes: boolean): Promise<void> {
  const call = engine.call();
  await disconnect(engine, call, record);
  for (const point of record.mounts) {
    if (point.kind === "image")
      await attempt(call, "remove an image's view", async () =>
        (await engine.storage(record.drivers.storage)).remove(call, point.view as ViewKey),
      );
    // Another container may use the volume through --volumes-from: it then stays.
    if (point.kind === "volume" && point.anonymous && volumes && (await engine.volumes.users(call, point.name)).length === 0)
      await attempt(call, "remove a volume", () => engine.volumes.remove(call, point.name, {}));
  }
  await attempt(call, "remove the layer", async () => (await engine.storage(record.drivers.storage)).remove(call, record.layer));
  for (const id of engine.leftBehind.get(record.id) ?? [])
    await attempt(call, "remove the layer that a migration left", async () => (await engine.storage(id)).remove(call, record.layer));
  engine.leftBehind.delete(record.id);
  await attempt(call, "forget the container", async () => (await engine.exec(record.drivers.exec)).delete(call, record.id));
  // One native call each, off this thread: Node would remove file by file and delay every other request.
  const files = (): Promise<void> =>
    attempt(call, "remove its files", () => engine.host.removeTree(call, diskDirectory(engine, record.id)));
  const sent = engine.followers.leave(record);
  if (sent === null) await files();
  else later(engine, async () => ((await sent) ? files() : undefined));
  await attempt(call, "remove its state", () => engine.host.removeTree(call, engine.records.directory(record.id)));
  engine.roots.forget(record.id);
}

export async function disconnect(engine: Pick<Engine, "networks">, call: Call, record: Container): Promise<void> {
  for (const endpoint of record.endpoints) await attempt(call, "free the address", () => engine.networks.disconnect(call, endpoint));
}

/** Failures of cleanup are logged and not thrown. `NotFound` is a success. */
async function attempt(call: Call, what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(isTsboxError(error) && error.code === "NotFound")) call.log.warn(`can't ${what}: ${String(error)}`);
  }
}
