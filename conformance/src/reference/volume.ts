/**
 * The shortest implementation of the volume contract, in memory. Its mounts have their own type (`memory`), which only its world can read
 * and write.
 */
import {
  type Call,
  type ContainerId,
  createCall,
  fail,
  type Mount,
  newContainerId,
  type Strings,
  silentLog,
  type Usage,
  type VolumeDriver,
  type VolumePowers,
  type VolumeState,
} from "@tsbox/kernel";
import type { VolumeWorld } from "../volume/world.ts";
import { streamOf } from "./storage.ts";

export type VolumeTree = Map<string, string>;
/** The state that outlives a driver's object: trees on disk, users on tmpfs. */
export interface VolumeDisk {
  readonly trees: Map<string, VolumeTree>;
  readonly users: Map<string, Set<ContainerId>>;
}

export class ReferenceVolumes implements VolumeDriver {
  readonly powers: readonly (keyof VolumePowers)[] = [];
  readonly disk: VolumeDisk;

  constructor(disk: VolumeDisk) {
    this.disk = disk;
  }

  async create(_call: Call, name: string, options: Strings): Promise<void> {
    if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{1,199}$/.test(name)) throw fail("InvalidArgument", `${JSON.stringify(name)} is no name for a volume`);
    for (const key of Object.keys(options)) throw fail("InvalidArgument", `no option ${key} here`);
    if (this.disk.trees.has(name)) throw fail("AlreadyExists", `${name} exists already`);
    this.disk.trees.set(name, new Map());
  }

  async remove(_call: Call, name: string): Promise<void> {
    this.tree(name);
    if (this.usersOf(name).size > 0) throw fail("FailedPrecondition", `${name} is attached`);
    this.disk.trees.delete(name);
  }

  async attach(_call: Call, name: string, user: ContainerId): Promise<Mount> {
    this.tree(name);
    this.disk.users.set(name, this.usersOf(name).add(user));
    return { type: "memory", source: name, target: null, options: [] };
  }

  async detach(_call: Call, name: string, user: ContainerId): Promise<void> {
    this.tree(name);
    this.usersOf(name).delete(user);
  }

  async stat(_call: Call, name: string): Promise<VolumeState> {
    this.tree(name);
    return { mountpoint: "", users: [...this.usersOf(name)] };
  }

  async usage(_call: Call, name: string): Promise<Usage> {
    const tree = this.tree(name);
    return { bytes: [...tree.values()].reduce((sum, content) => sum + content.length, 0), inodes: tree.size + 1 };
  }

  async list(_call: Call): Promise<AsyncIterable<string>> {
    return streamOf([...this.disk.trees.keys()]);
  }

  protected tree(name: string): VolumeTree {
    const tree = this.disk.trees.get(name);
    if (tree === undefined) throw fail("NotFound", `no volume ${name}`);
    return tree;
  }

  protected usersOf(name: string): Set<ContainerId> {
    return this.disk.users.get(name) ?? new Set();
  }
}

export async function makeMemoryVolumes(open: (disk: VolumeDisk) => VolumeDriver): Promise<VolumeWorld> {
  const disk: VolumeDisk = { trees: new Map(), users: new Map() };
  let driver = open(disk);
  const treeOf = (mount: Mount): VolumeTree => {
    const tree = mount.type === "memory" ? disk.trees.get(mount.source) : undefined;
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
    users: [newContainerId(), newContainerId(), newContainerId()],
    write: async (mount, name, content) => void treeOf(mount).set(name, content),
    read: async (mount) => Object.fromEntries([...treeOf(mount)].sort()),
    crash: async () => {
      driver = open(disk);
    },
    reboot: async () => {
      disk.users.clear();
      driver = open(disk);
    },
    onHost: () => [],
    close: async () => undefined,
  };
}
