/** The world for drivers whose trees are in memory. */
import { createCall, type Mount, silentLog } from "@tsbox/kernel";
import type { StorageWorld } from "../storage/world.ts";
import { MemoryTree } from "./memory-tree.ts";
import { MemoryDisk, type ReferenceStorage } from "./storage.ts";

export function makeMemoryWorld(open: (disk: MemoryDisk) => ReferenceStorage): Promise<StorageWorld> {
  return worldOn(new MemoryDisk(), open);
}

async function worldOn(disk: MemoryDisk, open: (disk: MemoryDisk) => ReferenceStorage): Promise<StorageWorld> {
  let driver = open(disk);
  const treeOf = ([mount]: readonly Mount[]): MemoryTree => {
    const tree = mount?.type === "memory" ? disk.get(mount.source)?.tree : undefined;
    if (tree === undefined) throw new Error(`can't mount ${JSON.stringify(mount)}`);
    return tree;
  };
  return {
    get driver() {
      return driver;
    },
    get powers() {
      return driver.powers;
    },
    call: createCall(silentLog),
    edit: async (mounts, edits) => {
      if (mounts[0]?.options.includes("ro")) throw new Error("EROFS");
      treeOf(mounts).edit(edits);
    },
    read: async (mounts) => treeOf(mounts).read(),
    plain: async (...edits) => {
      const tree = new MemoryTree();
      for (const list of edits) tree.edit(list);
      return tree.read();
    },
    crash: async () => {
      driver = open(disk);
    },
    stop: () => driver.close(),
    held: async () => ({ mounts: [...disk.devices], files: disk.size }),
    whyNotFull: null,
    small: async () => {
      const small = new MemoryDisk();
      const world = await worldOn(small, open);
      return {
        world,
        layer: null,
        fill: async () => {
          small.full = true;
        },
        free: async () => {
          small.full = false;
        },
      };
    },
    files: null,
    close: async () => undefined,
  };
}
