/**
 * Removes images by Docker's rules (daemon/images/image_delete.go): first the names, then the image, then the nameless parents that it was
 * made from. A conflict is *hard* (children, a running container) or *soft* (other names, a stopped container); force overrides soft ones.
 */
import {
  type Call,
  type Digest,
  fail,
  type ImageUser,
  isTsboxError,
  type RemovedImage,
  type SnapshotName,
  type Sparse,
} from "@tsbox/kernel";
import type { ImagesEngine } from "./engine.ts";
import { chainOf } from "./history.ts";
import { imageEvent } from "./image-events.ts";
import { isNeeded, leftovers } from "./leftovers.ts";
import { isDockers } from "./place.ts";
import { blobsOf, type ImageRecord } from "./records.ts";
import { familiar, familiarName, parseReference } from "./reference.ts";
import { adoptedName } from "./unpack.ts";

const short = (id: string): string => id.replace("sha256:", "").slice(0, 12);

export async function remove(
  engine: ImagesEngine,
  call: Call,
  reference: string,
  options: Sparse<{ force: boolean; keepParents: boolean; users: readonly ImageUser[] }>,
): Promise<readonly RemovedImage[]> {
  const { records } = engine;
  const { record, name } = records.find(reference);
  const users = options.users ?? [];
  const gone: RemovedImage[] = [];
  const names = records.namesOf(record.id);
  let quiet = false;
  if (name !== null) {
    const user = users.find((one) => one.image === record.id);
    if (options.force !== true && isSingle(names) && user)
      throw fail(
        "Conflict",
        `conflict: unable to remove repository reference "${reference}" (must force) - container ${short(user.container)} is using its referenced image ${short(record.id)}`,
      );
    await untag(engine, call, record, [name], gone);
    if (records.namesOf(record.id).length > 0) return gone;
    quiet = true;
  } else if (isSingle(names)) {
    const conflict = conflictOf(engine, record, users, { soft: options.force !== true, names: false });
    if (conflict) throw conflict.error;
    await untag(engine, call, record, names, gone);
  }
  await removeImage(engine, call, record, gone, { force: options.force === true, parents: options.keepParents !== true, quiet, users });
  return gone;
}

/** Whether the names are all of one repository, with at most one tag. */
function isSingle(names: readonly string[]): boolean {
  const repositories = new Set(names.map((name) => (isDockers(name) ? familiarName(parseReference(name)) : name)));
  const tags = names.filter((name) => !isDockers(name) || parseReference(name).tag !== null);
  return repositories.size === 1 && tags.length <= 1;
}

async function untag(engine: ImagesEngine, call: Call, record: ImageRecord, names: readonly string[], gone: RemovedImage[]): Promise<void> {
  const { records } = engine;
  for (const name of names) {
    const digest = records.tag(name)?.digest ?? null;
    await records.drop(call, [name], null);
    // An index is not a blob of the image: only the name refers to it.
    if (digest !== null) await dropBlob(engine, call, digest);
    const shown = isDockers(name) ? familiar(parseReference(name)) : name;
    gone.push({ untagged: shown });
    const repository = isDockers(name) ? familiarName(parseReference(name)) : null;
    const left = records.namesOf(record.id).some((other) => isDockers(other) && familiarName(parseReference(other)) === repository);
    if (repository !== null && digest !== null && !left && !name.includes("@")) gone.push({ untagged: `${repository}@${digest}` });
    await imageEvent(engine.events, call, "untag", record);
  }
}

interface Conflict {
  readonly error: Error;
  readonly used: boolean;
}

function conflictOf(
  { records }: ImagesEngine,
  record: ImageRecord,
  users: readonly ImageUser[],
  look: { readonly soft: boolean; readonly names: boolean },
): Conflict | null {
  const conflict = (hard: boolean, why: string, used: boolean): Conflict => ({
    error: fail("Conflict", `conflict: unable to delete ${short(record.id)} (${hard ? "cannot be forced" : "must be forced"}) - ${why}`),
    used,
  });
  if (records.all().some((other) => other.parent === record.id)) return conflict(true, "image has dependent child images", false);
  const running = users.find((user) => user.image === record.id && user.running);
  if (running) return conflict(true, `image is being used by running container ${short(running.container)}`, true);
  if (!look.soft) return null;
  if (look.names && records.namesOf(record.id).length > 0) return conflict(false, "image is referenced in multiple repositories", false);
  const stopped = users.find((user) => user.image === record.id);
  return stopped ? conflict(false, `image is being used by stopped container ${short(stopped.container)}`, true) : null;
}

async function removeImage(
  engine: ImagesEngine,
  call: Call,
  record: ImageRecord,
  gone: RemovedImage[],
  how: { readonly force: boolean; readonly parents: boolean; readonly quiet: boolean; readonly users: readonly ImageUser[] },
): Promise<void> {
  const { records } = engine;
  const conflict = conflictOf(engine, record, how.users, { soft: !how.force, names: true });
  if (conflict) {
    const dangling = records.namesOf(record.id).length === 0 && !records.all().some((other) => other.parent === record.id);
    if (how.quiet && (!dangling || conflict.used)) return;
    throw conflict.error;
  }
  await untag(engine, call, record, records.namesOf(record.id), gone);
  await records.drop(call, [], record.id);
  gone.push({ deleted: record.id });
  for (const name of await discard(engine, call, record)) if (name.startsWith("sha256:")) gone.push({ deleted: name });
  await engine.events.publish(call, { type: "image", action: "delete", id: record.id, attributes: { name: record.id } });
  const parent = record.parent == null || !how.parents ? null : records.known(record.parent);
  if (parent) await removeImage(engine, call, parent, gone, { ...how, force: false, quiet: true });
}

/**
 * Removes the blobs and snapshots that no other image needs; answers the removed snapshots, the topmost first. A snapshot below a container
 * stays until the container is removed (`sweep`).
 */
export async function discard(engine: ImagesEngine, call: Call, record: ImageRecord): Promise<readonly SnapshotName[]> {
  for (const digest of blobsOf(record)) {
    // Checked again for each blob: an image may get its name meanwhile.
    if (!isNeeded(engine.records.all(), digest)) await engine.leases.drop(digest, () => engine.content.remove(call, digest));
  }
  return removeSnapshots(engine, call, [...wholeChain(record)].reverse());
}

/** Removes the blob if no image and no name needs it. */
export async function dropBlob({ records, content, leases }: ImagesEngine, call: Call, digest: Digest): Promise<void> {
  if (isNeeded(records.all(), digest) || records.names().some((name) => records.tag(name)?.digest === digest)) return;
  await leases.drop(digest, () => content.remove(call, digest));
}

/** Removes the blobs and layers of a pull whose image was refused, as far as no image needs them. */
export async function abandon(engine: ImagesEngine, call: Call, names: readonly string[]): Promise<void> {
  for (const name of new Set(names)) if (/^sha256:[0-9a-f]{64}$/.test(name)) await dropBlob(engine, call, name as Digest);
  await removeSnapshots(engine, call, [...new Set(names)].reverse() as SnapshotName[]);
}

export const wholeChain = (record: ImageRecord): readonly SnapshotName[] => [
  ...(record.adopted === null ? [] : [adoptedName(record.adopted)]),
  ...chainOf(record),
];

/** Removes, in this order and from every storage driver, the snapshots that no image needs and that have no children. */
async function removeSnapshots(engine: ImagesEngine, call: Call, names: readonly SnapshotName[]): Promise<readonly SnapshotName[]> {
  const storages = await engine.storages();
  const gone: SnapshotName[] = [];
  for (const name of names) {
    if (engine.records.all().some((image) => wholeChain(image).includes(name))) continue;
    let [removed, held] = [false, false];
    for (const { id, storage } of storages) {
      try {
        if (!(await engine.leases.drop(name, () => storage.remove(call, name)))) continue;
        engine.sizes.delete(`${id} ${name}`);
        removed = true;
      } catch (error) {
        if (!isTsboxError(error) || (error.code !== "NotFound" && error.code !== "FailedPrecondition")) throw error;
        held ||= error.code === "FailedPrecondition";
      }
    }
    if (held) engine.stranded.add(name);
    else engine.stranded.delete(name);
    if (removed) gone.push(name);
  }
  return gone;
}

/**
 * Removes snapshots of removed images that were below containers which are gone now. `all` also searches the drivers for those of an
 * earlier daemon.
 */
export async function sweep(engine: ImagesEngine, call: Call, all: boolean): Promise<readonly SnapshotName[]> {
  if (!all && engine.stranded.size === 0) return [];
  const gone: SnapshotName[] = [];
  const names = new Set<SnapshotName>(engine.stranded);
  if (all) {
    for (const { storage } of await engine.storages())
      for await (const snapshot of await storage.list(call))
        if (snapshot.kind === "committed" && /^(sha256:|adopted-)/.test(snapshot.key)) names.add(snapshot.key);
  }
  // A layer can be removed when the one above it is gone.
  for (;;) {
    const round = await removeSnapshots(engine, call, [...names]);
    if (round.length === 0) return gone;
    // In another driver it may still have children.
    for (const name of round) if (!engine.stranded.has(name)) names.delete(name);
    gone.push(...round);
  }
}

export async function prune(
  engine: ImagesEngine,
  call: Call,
  options: Sparse<{ all: boolean; only: readonly Digest[]; users: readonly ImageUser[] }>,
): Promise<{ readonly removed: readonly RemovedImage[]; readonly freed: number }> {
  const { records } = engine;
  const storages = await engine.storages();
  const sizes = new Map<string, number>();
  const measure = async (record: ImageRecord): Promise<void> => {
    for (const name of chainOf(record)) {
      if (sizes.has(name)) continue;
      let bytes = 0;
      for (const { id, storage } of storages)
        bytes += engine.sizes.get(`${id} ${name}`) ?? (await storage.usage(call, name).catch(() => ({ bytes: 0 }))).bytes;
      sizes.set(name, bytes);
    }
  };
  const removed: RemovedImage[] = [];
  const wanted = options.only === undefined ? null : new Set(options.only);
  for (const record of records.all()) {
    const names = records.namesOf(record.id);
    const hasChildren = records.all().some((other) => other.parent === record.id);
    if (records.known(record.id) === null || (wanted && !wanted.has(record.id)) || (hasChildren && names.length === 0)) continue;
    if (names.some((name) => !isDockers(name) || parseReference(name).tag !== null) && options.all !== true) continue;
    for (let at: ImageRecord | null = record; at !== null; at = at.parent == null ? null : records.known(at.parent)) await measure(at);
    for (const reference of names.length > 0 ? names : [record.id]) {
      try {
        removed.push(...(await remove(engine, call, reference, { users: options.users })));
      } catch (error) {
        // The image is in use, so it stays.
        if (!isTsboxError(error) || (error.code !== "Conflict" && error.code !== "NotFound")) throw error;
      }
    }
  }
  await sweep(engine, call, true);
  if (options.only === undefined) await records.acceptRestored(call);
  const left = options.only === undefined ? await leftovers(engine, call, true) : { bytes: 0 };
  const freed = removed.reduce((sum, line) => sum + ("deleted" in line ? (sizes.get(line.deleted) ?? 0) : 0), left.bytes);
  return { removed, freed };
}
