/** Helpers for the steps that most storage rules share. */
import {
  type ActiveKey,
  type Mount,
  parseActiveKey,
  parseSnapshotName,
  parseViewKey,
  type Snapshot,
  type SnapshotName,
  type ViewKey,
} from "@tsbox/kernel";
import type { Edit, Tree } from "./tree.ts";
import type { StorageWorld } from "./world.ts";

export const active = (text: string): ActiveKey => parseActiveKey(text);
export const viewKey = (text: string): ViewKey => parseViewKey(text);
export const named = (text: string): SnapshotName => parseSnapshotName(text);

/** Prepares, edits and commits; answers the name. */
export async function layer(world: StorageWorld, name: string, parent: SnapshotName | null, edits: readonly Edit[]): Promise<SnapshotName> {
  const key = active(`unpack-${name}`);
  await world.edit(await world.driver.prepare(world.call, key, parent), edits);
  await world.driver.commit(world.call, named(name), key);
  return named(name);
}

/** The tree of a committed snapshot, through a view that is removed afterwards. */
export async function shown(world: StorageWorld, name: SnapshotName): Promise<Tree> {
  const key = viewKey(`look-${name}`);
  const mounts = await world.driver.view(world.call, key, name);
  try {
    return await world.read(mounts);
  } finally {
    await world.driver.remove(world.call, key);
  }
}

export async function listed(world: StorageWorld): Promise<readonly Snapshot[]> {
  const found: Snapshot[] = [];
  for await (const snapshot of await world.driver.list(world.call)) found.push(snapshot);
  return found.sort((a, b) => (a.key < b.key ? -1 : 1));
}

export function mountsOf(world: StorageWorld, key: ActiveKey | ViewKey): Promise<readonly Mount[]> {
  return world.driver.mounts(world.call, key);
}
