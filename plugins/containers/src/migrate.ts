/** `storage migrate`: images and containers move from one storage driver to another. */
import {
  type ActiveKey,
  asError,
  type Call,
  type Container,
  type ContainerId,
  cleanupCall,
  copyChanges,
  fail,
  isTsboxError,
  type MigrationOptions,
  type MigrationPlan,
  type PullProgress,
  type SnapshotName,
  type StorageDriver,
  type StorageUse,
  snapshotExists,
  supports,
  type ViewKey,
  withCleanup,
} from "@tsbox/kernel";
import { unlessMissing } from "./create.ts";
import type { Engine } from "./engine.ts";
import { launch, stop } from "./launching.ts";
import { scratchFile } from "./migrations.ts";

export type Report = (line: PullProgress) => void;

interface Pair {
  readonly source: StorageDriver;
  readonly target: StorageDriver;
}

async function open(engine: Engine, { from, to }: MigrationOptions): Promise<Pair> {
  if (from === to) throw fail("InvalidArgument", `both storage drivers are ${from}: give two different ones`);
  return { source: await engine.storage(from), target: await engine.storage(to) };
}

export async function storageUse(engine: Engine, call: Call): Promise<readonly StorageUse[]> {
  const preferred = await engine.preferred("storage");
  const found: StorageUse[] = [];
  for (const id of await engine.storageIds()) {
    const storage = await engine.storage(id);
    const layers = await engine.images.held(call, id);
    const own = await containerLayers(engine, call, storage, id);
    found.push({
      id,
      preferred: id === preferred,
      layers: sum(layers),
      containers: sum(own.filter(({ here }) => here)),
      leftBehind: sum(own.filter(({ here }) => !here)),
    });
  }
  return found;
}

interface ContainerLayer {
  readonly key: ActiveKey;
  readonly id: ContainerId;
  /** Whether the container's record names this driver. */
  readonly here: boolean;
  readonly bytes: number;
}

/** The layers of known containers in a driver. */
async function containerLayers(
  engine: Pick<Engine, "records">,
  call: Call,
  storage: StorageDriver,
  storageId: string,
): Promise<readonly ContainerLayer[]> {
  const found: ContainerLayer[] = [];
  for await (const { kind, key } of await storage.list(call)) {
    const id = /^container-([0-9a-f]{64})$/.exec(key)?.[1] as ContainerId | undefined;
    if (kind !== "active" || id === undefined || !engine.records.has(id)) continue;
    const bytes = await sizeOf(storage, call, key);
    found.push({ key, id, here: engine.records.byId(id).drivers.storage === storageId, bytes: bytes ?? 0 });
  }
  return found;
}

/** Null: it is gone. */
async function sizeOf(storage: StorageDriver, call: Call, key: ActiveKey): Promise<number | null> {
  try {
    return (await storage.usage(call, key)).bytes;
  } catch (error) {
    unlessMissing(error);
    return null;
  }
}

const sum = (all: readonly { readonly bytes: number }[]): { readonly count: number; readonly bytes: number } => ({
  count: all.length,
  bytes: all.reduce((total, { bytes }) => total + bytes, 0),
});

export async function planMigration(engine: Engine, call: Call, options: MigrationOptions): Promise<MigrationPlan> {
  const { source, target } = await open(engine, options);
  const moving = engine.records.all().filter(({ drivers }) => drivers.storage === options.from);
  const refusals: string[] = [];
  const containers: { id: ContainerId; name: string; running: boolean; bytes: number; parent: SnapshotName | null }[] = [];
  const standing = new Set<SnapshotName>();
  for (const record of moving) {
    const { id, name } = record;
    const bytes = await sizeOf(source, call, record.layer);
    const refusal = bytes === null ? `the layer of container ${name} is missing: remove the container` : refusalOf(record, target, options);
    if (refusal !== null) refusals.push(refusal);
    if (bytes === null) continue;
    const { parent } = await source.stat(call, record.layer);
    containers.push({ id, name, running: isActive(record), bytes, parent });
    for (const below of [parent, ...(await viewsOf(source, call, record)).map((view) => view.parent)])
      if (below !== null) standing.add(below);
  }
  const held = await engine.images.held(call, options.from);
  const parents = new Map(held.map(({ name, parent }) => [name, parent]));
  for (const name of [...standing]) for (let at = parents.get(name) ?? null; at !== null; at = parents.get(at) ?? null) standing.add(at);
  const layers = [];
  for (const layer of held)
    if ((layer.needed || standing.has(layer.name)) && !(await snapshotExists(target, call, layer.name))) layers.push(layer);
  const whole = wholeSizes(held);
  const left = (await containerLayers(engine, call, source, options.from)).filter(({ here }) => !here);
  return {
    layers,
    containers: containers.map(({ id, name, running, bytes }) => ({ id, name, running, bytes })),
    bytes: sum(layers).bytes + sum(containers).bytes,
    wholeBytes:
      layers.reduce((total, { name }) => total + (whole.get(name) ?? 0), 0) +
      containers.reduce((total, { parent, bytes }) => total + bytes + (parent === null ? 0 : (whole.get(parent) ?? 0)), 0),
    scratchBytes: Math.max(
      0,
      ...layers.filter((layer) => layer.source === "copy").map(({ bytes }) => bytes),
      ...containers.map(({ bytes }) => bytes),
    ),
    leftBehind: sum(left),
    refusals,
  };
}

/** The size of each layer with those below it. */
function wholeSizes(
  held: readonly { readonly name: SnapshotName; readonly parent: SnapshotName | null; readonly bytes: number }[],
): ReadonlyMap<SnapshotName, number> {
  const sizes = new Map<SnapshotName, number>();
  for (const { name, parent, bytes } of held) sizes.set(name, bytes + (parent === null ? 0 : (sizes.get(parent) ?? 0)));
  return sizes;
}

const isActive = ({ status }: Container): boolean => status === "running" || status === "paused" || status === "restarting";

/** What prevents that a container moves; null: nothing. */
function refusalOf(record: Container, target: StorageDriver, { to, stop: stops }: MigrationOptions): string | null {
  const { name, status, config } = record;
  if (config.quotaBytes !== null && !supports(target, "quota"))
    return `container ${name} has a size limit, which the storage driver ${to} can't hold here: commit it and remove it`;
  if (status === "paused") return `container ${name} is paused: unpause or stop it`;
  if (!isActive(record)) return null;
  if (config.autoRemove) return `container ${name} runs with --rm, so its end removes it: stop it`;
  return stops === true ? null : `container ${name} is ${status}: stop it, or give --stop, which starts it again`;
}

/** Views of images that are mounted in a container. */
async function viewsOf(
  storage: StorageDriver,
  call: Call,
  { mounts }: Container,
): Promise<readonly { readonly key: ViewKey; readonly parent: SnapshotName | null }[]> {
  const found: { key: ViewKey; parent: SnapshotName | null }[] = [];
  for (const point of mounts) {
    if (point.kind !== "image") continue;
    const { parent } = await storage.stat(call, point.view as ViewKey);
    found.push({ key: point.view as ViewKey, parent });
  }
  return found;
}

export async function migrate(engine: Engine, call: Call, options: MigrationOptions, report: Report): Promise<void> {
  const { from, to } = options;
  const plan = await planMigration(engine, call, options);
  refuse(plan);
  for (const { name } of plan.layers) {
    try {
      for await (const line of await engine.images.carry(call, name, { from, to })) report({ ...line, id: shortOf(name) });
    } catch (error) {
      // Its image was removed meanwhile.
      if (!isTsboxError(error) || error.code !== "NotFound") throw unfinished(`layer ${shortOf(name)}`, error);
    }
  }
  for (const { id, name } of plan.containers) {
    try {
      await moveContainer(engine, call, id, options, report);
    } catch (error) {
      if (!engine.records.has(id)) continue;
      throw unfinished(`container ${name}`, error);
    }
  }
  const choice = await becomeDefault(engine, call, options);
  if (options.remove === true) await removeRest(engine, call, options, report, choice === "named");
  const moved = `${plan.layers.length} ${plan.layers.length === 1 ? "layer" : "layers"}, ${plan.containers.length} ${plan.containers.length === 1 ? "container" : "containers"}`;
  line(report, null, `Migrated from ${from} to ${to}: ${moved}`);
  if (choice === "changed") line(report, null, `New containers use ${to} from now on`);
  if (choice === "named")
    line(report, null, `The config file still names ${from} for new containers: change "drivers" there, and restart the engine`);
}

function refuse({ refusals }: MigrationPlan): void {
  if (refusals.length > 0) throw fail("FailedPrecondition", `nothing was migrated: ${refusals.join("; ")}`);
}

const shortOf = (name: string): string => name.replace(/^sha256:/, "").slice(0, 12);

function line(report: Report, id: string | null, status: string, current: number | null = null, total: number | null = null): void {
  report({ id, status, current, total });
}

function unfinished(what: string, thrown: unknown): Error {
  const error = asError(thrown);
  const code = isTsboxError(error) ? error.code : "Internal";
  return fail(code, `${what} could not be migrated, and is as it was: ${error.message}; the same command goes on from here`, {
    cause: error,
  });
}

async function moveContainer(engine: Engine, call: Call, id: ContainerId, options: MigrationOptions, report: Report): Promise<void> {
  const { name } = engine.records.byId(id);
  await withCleanup(async (cleanup) => {
    if (options.stop === true && isActive(engine.records.byId(id))) {
      line(report, name, "Stopping");
      await stop(engine, call, id, {});
      // It runs again whether it could be moved or not.
      cleanup.always(async () => {
        if (!engine.records.has(id) || isActive(engine.records.byId(id))) return;
        await launch(engine, cleanupCall(call), id, {});
        line(report, name, "Started");
      });
    }
    await engine.settling.wait(id);
    await engine.roots.settled(id);
    await engine.locks.run(id, () => move(engine, call, engine.records.byId(id), options, report));
  });
}

/** The caller holds the container's lock. */
async function move(engine: Engine, call: Call, record: Container, options: MigrationOptions, report: Report): Promise<void> {
  const { from, to } = options;
  const { id, name, layer, config } = record;
  if (record.drivers.storage !== from) return;
  if (isActive(record)) throw fail("Conflict", `it was started meanwhile`);
  const { source, target } = await open(engine, options);
  const views = await viewsOf(source, call, record);
  const snapshot = await source.stat(call, layer);
  const total = (await source.usage(call, layer)).bytes;
  const dropFrom = async (storage: StorageDriver): Promise<void> => {
    for (const key of [layer, ...views.map((view) => view.key)]) await storage.remove(cleanupCall(call), key).catch(unlessMissing);
  };
  // What an interrupted migration, or an earlier one in the other direction, has left.
  await dropFrom(target);
  await withCleanup(async (cleanup) => {
    cleanup.undo(() => dropFrom(target));
    line(report, name, "Copying", 0, total);
    await target.prepare(call, layer, snapshot.parent, {
      volatile: config.autoRemove,
      discarded: config.autoRemove,
      ...(config.quotaBytes === null ? {} : { quotaBytes: config.quotaBytes }),
    });
    await copyChanges(call, snapshot, layer, {
      host: engine.host,
      from: source,
      to: target,
      scratch: scratchFile(engine),
      progress: (bytes) => line(report, name, "Copying", Math.min(bytes, total), total),
    });
    for (const { key, parent } of views) await target.view(call, key, parent);
    await rewrite(engine, id, to);
  });
  engine.leftBehind.set(id, new Set([...(engine.leftBehind.get(id) ?? []), from]));
  engine.leftBehind.get(id)?.delete(to);
  if (options.remove === true) await dropFrom(source);
  line(report, name, "Complete", total, total);
}

/** From here on the container is in the other driver. A `rm -f` does not wait for the lock. */
async function rewrite(engine: Engine, id: ContainerId, to: string): Promise<void> {
  if (!engine.records.has(id) || engine.removing.has(id)) throw fail("Conflict", "it is being removed");
  const before = engine.records.byId(id);
  const config = before.config.storage === null ? before.config : { ...before.config, storage: to };
  const moved = engine.records.note({ ...before, config, drivers: { ...before.drivers, storage: to } });
  try {
    await engine.records.keep(engine.call(), moved);
  } catch (error) {
    if (engine.records.has(id)) engine.records.note(before);
    throw error;
  }
}

/** `named`: the config file names the former driver. `other`: the former driver was not the host's choice. */
async function becomeDefault(engine: Engine, call: Call, { from, to }: MigrationOptions): Promise<"changed" | "named" | "other"> {
  if ((await engine.preferred("storage")) !== from) return "other";
  try {
    await engine.prefer(call, "storage", to);
    return "changed";
  } catch (error) {
    if (isTsboxError(error) && error.code === "FailedPrecondition") return "named";
    throw error;
  }
}

/** Removes what is in the other driver by now. `keepLayers`: new containers will need the layers of images. */
async function removeRest(engine: Engine, call: Call, options: MigrationOptions, report: Report, keepLayers: boolean): Promise<void> {
  const { from, to } = options;
  const { source } = await open(engine, options);
  const left = (await containerLayers(engine, call, source, from)).filter(({ here }) => !here);
  for (const { id } of left) await dropLeft(engine, call, engine.records.byId(id), from);
  const layers = keepLayers ? { count: 0, bytes: 0 } : await engine.images.release(call, { from, to });
  if (supports(source, "reclaim")) await source.reclaim(call);
  line(report, null, `Removed from ${from}: ${layers.count + left.length} snapshots, ${layers.bytes + sum(left).bytes} bytes`);
}

async function dropLeft(engine: Engine, call: Call, { id, layer, mounts }: Container, storageId: string): Promise<void> {
  const storage = await engine.storage(storageId);
  const views = mounts.flatMap((point) => (point.kind === "image" ? [point.view as ViewKey] : []));
  for (const key of [layer, ...views]) await storage.remove(call, key).catch(unlessMissing);
  engine.leftBehind.get(id)?.delete(storageId);
}
