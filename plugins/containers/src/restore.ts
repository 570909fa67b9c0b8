/** Recovery after a daemon's death: finds the shims again, records what ended meanwhile, removes what has no record. */
import { existsSync, readFileSync, watch } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import {
  asError,
  type Call,
  type Container,
  type ContainerId,
  type ExitStatus,
  isTsboxError,
  type StorageDriver,
  snapshotExists,
  supports,
  type VolumeClaim,
} from "@tsbox/kernel";
import { isAlive } from "./alive.ts";
import { later } from "./background.ts";
import { unlessMissing } from "./create.ts";
import { happens } from "./decide.ts";
import { diskDirectory } from "./directories.ts";
import { type EndNeeds, ended, recordEnd } from "./end.ts";
import type { Engine } from "./engine.ts";
import { findExec, recallExec } from "./execs.ts";
import { ownerOf } from "./groups.ts";
import { scratchFile } from "./migrations.ts";
import { clearAfter, endOrphans, sweepCgroups } from "./orphans.ts";
import { wantsAfterBoot } from "./restart-policy.ts";
import { mayBeUnanswered } from "./settling.ts";
import { toolsOwner } from "./tools.ts";

/** The parts of the engine that a new daemon needs to find its containers again. */
export type RestoreNeeds = EndNeeds & Pick<Engine, "healthWatch" | "roots">;

/**
 * In milliseconds. A process whose shim was killed is watched through its exit file. If the launcher has died too, no process writes that
 * file.
 */
const lookEvery = 1000;
/** How long a new daemon waits for all shims together before it serves, in milliseconds. */
const findTimeout = 1500;

export async function restore(engine: RestoreNeeds, call: Call): Promise<void> {
  const known = await engine.records.load(call);
  const lost = await withLayers(engine, call, known.lost);
  for (const record of known.unkept) await engine.records.keep(call, record);
  const running = engine.records.all().filter((record) => record.status === "running" || record.status === "paused");
  await engine.volumes.restore(call, claims(engine));
  await engine.networks.restore(
    call,
    running.flatMap((record) => record.endpoints),
  );
  for (const { id, idMaps } of running) if (idMaps !== null) engine.idRanges.hold(id, idMaps);
  await endOrphans(engine, call);
  // A shim that does not answer delays the daemon no longer: its container is handled when it answers, or after its deadline.
  const finding = Promise.all(running.map((record) => find(engine, call, record)));
  if (!(await happens(finding, findTimeout))) later(engine, () => finding.then(() => {}));
  const recorded = new Set(running.map(({ id }) => id));
  const unrecorded = engine.records.all().filter((record) => !recorded.has(record.id));
  const ending = Promise.all(unrecorded.map((record) => endUnrecorded(engine, call, record)));
  if (!(await happens(ending, findTimeout))) later(engine, () => ending.then(() => {}));
  // A container with `--rm` that was created and never started is removed: no client remembers it.
  for (const record of engine.records.all().filter((record) => record.config.autoRemove && record.status === "created"))
    await engine.records.remove(call, record);
  for (const id of lost) {
    const record = engine.records.byId(id);
    if (wantsAfterBoot(record))
      engine.records.note({ ...record, status: "restarting", restart: { stopped: false, backoff: 0, wanted: false, at: Date.now() } });
  }
  await sweep(engine, call);
}

/** Drops containers whose `create` was interrupted between record and layer: no client got an answer. Returns the others. */
async function withLayers(engine: RestoreNeeds, call: Call, ids: readonly ContainerId[]): Promise<readonly ContainerId[]> {
  const whole: ContainerId[] = [];
  for (const id of ids) {
    const record = engine.records.byId(id);
    const storage = mayBeUnanswered(record) ? await reachable(engine, call, record) : null;
    if (storage === null || (await snapshotExists(storage, call, record.layer))) whole.push(id);
    else await engine.records.remove(call, record);
  }
  return whole;
}

/** Null: the driver is missing, so nothing is known of the layer. */
async function reachable(engine: RestoreNeeds, call: Call, { name, drivers }: Container): Promise<StorageDriver | null> {
  try {
    return await engine.storage(drivers.storage);
  } catch (error) {
    call.log.warn(`the layer of container ${name} can't be reached: ${asError(error).message}`);
    return null;
  }
}

/** A container with `--rm` that was created and never started will be removed, so it claims nothing. */
function claims(engine: Pick<Engine, "records">): readonly VolumeClaim[] {
  return engine.records.all().flatMap(({ id, status, config, mounts }) => {
    if (config.autoRemove && status === "created") return [];
    const running = status === "running" || status === "paused";
    return mounts.flatMap((point) => (point.kind === "volume" ? [{ container: id, volume: point.name, running }] : []));
  });
}

async function find(engine: RestoreNeeds, call: Call, record: Container): Promise<void> {
  const directory = engine.records.directory(record.id);
  try {
    const shim = await engine.shims.connect(call, record.id);
    for (const [exec, pid] of shim.execs) findExec(engine, record.id, exec, pid);
    for (const [exec, status] of shim.pastExecs) recallExec(engine, record.id, exec, status);
    if (shim.exited !== null) await ended(engine, record.id, record.pid, shim.exited);
    return;
  } catch (error) {
    if (!isTsboxError(error) || error.code !== "NotFound") call.log.warn(`can't reach the shim of ${record.name}: ${String(error)}`);
  }
  if (exitOf(directory) === null && isAlive(record.pid)) watchOrphan(engine, withoutShim(engine, record), directory);
  else {
    await ended(engine, record.id, record.pid, exitOf(directory) ?? unknownExit());
    await clearAfter(engine, call, ownerOf(record));
  }
}

/** Ends a start that the last daemon did not record: no client got an answer, and the state of its network was lost with that daemon. */
async function endUnrecorded(engine: RestoreNeeds, call: Call, record: Container): Promise<void> {
  const directory = engine.records.directory(record.id);
  if (!existsSync(join(directory, "shim.sock")) || exitOf(directory) !== null) return;
  const shim = await engine.shims.connect(call, record.id).catch(() => null);
  if (shim === null || shim.exited !== null) return;
  if (shim.pid === null) return engine.shims.abandon(call, record.id);
  call.log.warn(`container ${record.name} was being started when the daemon died: it is killed`);
  engine.records.note({ ...record, status: "running", pid: shim.pid, startedAt: Date.now(), exit: null });
  await engine.shims.kill(call, record.id, shim.pid);
}

/** Marks a container without a shim; `ps` and `inspect` show it. */
export const withoutShim = (engine: Pick<Engine, "records">, { id }: Container): Container =>
  engine.records.note({
    ...engine.records.byId(id),
    error: "its shim is dead or does not answer: the container runs on without logs, attach and exec; kill it, remove it or restart it",
  });

/** Watches a container whose shim is dead. The launcher, its new parent, writes the exit file. */
export function watchOrphan(engine: EndNeeds, record: Container, directory: string): void {
  let dead = 0;
  const look = (looksUntilLost: number): void => {
    const exit = exitOf(directory);
    // A dead process without an exit file: its parent is about to write it. Only after some seconds is it certain that no process will.
    if (exit === null && (isAlive(record.pid) || dead < looksUntilLost)) return;
    clearInterval(timer);
    watcher.close();
    later(engine, async () => {
      await recordEnd(engine, record.id, record.pid, exit ?? unknownExit());
      await engine.locks.run(record.id, () => clearAfter(engine, engine.call(), ownerOf(record)), Number.POSITIVE_INFINITY);
    });
  };
  const watcher = watch(directory, () => look(Number.POSITIVE_INFINITY));
  const timer = setInterval(() => {
    dead = isAlive(record.pid) ? 0 : dead + 1;
    look(2);
  }, lookEvery).unref();
  look(Number.POSITIVE_INFINITY);
}

export function exitOf(directory: string): ExitStatus | null {
  try {
    return JSON.parse(readFileSync(join(directory, "exit"), "utf8")) as ExitStatus;
  } catch {
    return null;
  }
}

/** The exit status of a process whose end was not observed. Its format may know it. */
const unknownExit = (): ExitStatus => ({ code: 255, signal: null, outOfMemory: false, at: Date.now(), unknown: true });

/** Removes what has no record, of this engine only: directories on tmpfs and on disk, layers, cgroups. */
async function sweep(engine: RestoreNeeds, call: Call): Promise<void> {
  for (const name of engine.records.strangers()) {
    const id = name as ContainerId;
    // A shim that was spawned and not started, or whose start was not recorded, is asked to end.
    later(engine, async () => {
      await engine.shims
        .connect(call, id)
        .then(() => engine.shims.abandon(call, id))
        .catch(() => {});
      engine.records.discard(id);
    });
  }
  await rm(scratchFile(engine), { force: true });
  later(engine, async () => {
    const restored = await engine.records.isRestored(call);
    for (const name of await readdir(engine.rootDirectory)) {
      const id = name as ContainerId;
      if (restored || !/^[0-9a-f]{64}$/.test(name) || engine.records.has(id)) continue;
      const directory = diskDirectory(engine, id);
      const sent = engine.followers.recall(directory);
      if (sent === null) await engine.host.removeTree(call, directory);
      else later(engine, async () => ((await sent) ? engine.host.removeTree(call, directory) : undefined));
    }
    // The storage driver of a container without a record is unknown, so all of them are searched.
    for (const id of await engine.storageIds()) {
      // One that fails keeps what it holds until it is back, and concerns no other.
      await sweepLayers(engine, call, id, restored).catch((error: unknown) =>
        call.log.warn(`layers of the storage driver ${id} stay: ${asError(error).message}`),
      );
    }
    await sweepCgroups(engine);
  });
}

/** `restored`: the records are a copy of earlier ones, so a layer without a record may be a container's. */
async function sweepLayers(engine: RestoreNeeds, call: Call, id: string, restored: boolean): Promise<void> {
  const storage = await engine.storage(id);
  // Layers that were being written to disk when a daemon died.
  if (supports(storage, "settle"))
    for (const { layer } of engine.records.all().filter(({ drivers, config }) => drivers.storage === id && !config.autoRemove))
      await storage.settle(call, layer).catch(unlessMissing);
  if (restored) return;
  for await (const snapshot of await storage.list(call)) {
    const owner = /^(?:container|mount)-([0-9a-f]{64})(?:-|$)/.exec(snapshot.key)?.[1];
    const known = owner !== undefined && engine.records.has(owner as ContainerId) ? engine.records.byId(owner as ContainerId) : null;
    if (known !== null && known.drivers.storage !== id)
      engine.leftBehind.set(known.id, (engine.leftBehind.get(known.id) ?? new Set()).add(id));
    const user = toolsOwner(snapshot.key);
    if ((owner !== undefined && known === null) || (user !== null && !engine.execs.isRunning(user)))
      await storage.remove(call, snapshot.key);
  }
}
