/**
 * The shortest implementation of the storage contract, in memory: it explains the contract's vocabulary in code, and the broken drivers are
 * based on it. Its mounts have their own type (`memory`), which only its world can read and write.
 */
import {
  type ActiveKey,
  type Call,
  type CommitOptions,
  fail,
  type Mount,
  type MountsOptions,
  type PrepareOptions,
  parseSnapshotName,
  type Snapshot,
  type SnapshotKey,
  type SnapshotName,
  type StorageDriver,
  type StoragePowers,
  type Usage,
  type ViewKey,
} from "@tsbox/kernel";
import { MemoryTree } from "./memory-tree.ts";

export interface MemorySnapshot {
  readonly kind: Snapshot["kind"];
  readonly key: SnapshotKey;
  readonly parent: SnapshotName | null;
  readonly createdAt: number;
  readonly tree: MemoryTree;
}
/** The state that outlives a driver's object: after a crash, another one is opened over the same disk. */
export class MemoryDisk extends Map<string, MemorySnapshot> {
  /** What a driver has on the host beside it. The reference has nothing. */
  readonly devices: Set<string> = new Set();
  /** Whether there is no room for another snapshot. */
  full = false;
}

export class ReferenceStorage implements StorageDriver {
  readonly powers: readonly (keyof StoragePowers)[] = [];
  readonly disk: MemoryDisk;

  constructor(disk: MemoryDisk) {
    this.disk = disk;
  }

  async prepare(_call: Call, key: ActiveKey, parent: SnapshotName | null, options: PrepareOptions = {}): Promise<readonly Mount[]> {
    if (options.quotaBytes !== undefined) throw fail("Unsupported", "no quotas here");
    this.add("active", key, parent);
    return this.mountsOf(key);
  }

  async view(_call: Call, key: ViewKey, parent: SnapshotName | null): Promise<readonly Mount[]> {
    this.add("view", key, parent);
    return this.mountsOf(key);
  }

  async mounts(_call: Call, key: ActiveKey | ViewKey, { readOnly = false }: MountsOptions = {}): Promise<readonly Mount[]> {
    if (this.get(key).kind === "committed") throw fail("FailedPrecondition", `${key} is committed`);
    return readOnly ? this.mountsOf(key).map((mount) => ({ ...mount, options: ["ro"] })) : this.mountsOf(key);
  }

  async commit(_call: Call, name: SnapshotName, key: ActiveKey, options: CommitOptions = {}): Promise<void> {
    const snapshot = this.get(key);
    if (options.parent !== undefined && options.parent !== snapshot.parent) throw fail("Unsupported", "no rebase here");
    if (snapshot.kind !== "active") throw fail("FailedPrecondition", `${key} is not active`);
    this.free(name);
    this.disk.delete(key);
    this.disk.set(name, { ...snapshot, kind: "committed", key: name });
  }

  async remove(_call: Call, key: SnapshotKey): Promise<void> {
    this.get(key);
    if ([...this.disk.values()].some(({ parent }) => parent === key)) throw fail("FailedPrecondition", `${key} has children`);
    this.disk.delete(key);
  }

  async stat(_call: Call, key: SnapshotKey): Promise<Snapshot> {
    return snapshotOf(this.get(key));
  }

  async usage(_call: Call, key: SnapshotKey): Promise<Usage> {
    const { tree } = this.get(key);
    return { bytes: tree.bytes, inodes: tree.size };
  }

  async list(_call: Call): Promise<AsyncIterable<Snapshot>> {
    return streamOf([...this.disk.values()].map(snapshotOf));
  }

  async close(): Promise<void> {}

  protected add(kind: "active" | "view", key: SnapshotKey, parent: SnapshotName | null): void {
    this.free(key);
    if (this.disk.full) throw fail("ResourceExhausted", "no space left");
    const below = parent === null ? null : this.get(parent);
    if (below !== null && below.kind !== "committed") throw fail("FailedPrecondition", `${parent} is not committed`);
    this.disk.set(key, { kind, key, parent, createdAt: Date.now(), tree: below?.tree.copy() ?? new MemoryTree() });
  }

  protected free(key: SnapshotKey): void {
    parseSnapshotName(key);
    if (this.disk.has(key)) throw fail("AlreadyExists", `${key} exists already`);
  }

  protected get(key: SnapshotKey): MemorySnapshot {
    const snapshot = this.disk.get(key);
    if (snapshot === undefined) throw fail("NotFound", `no snapshot ${key}`);
    return snapshot;
  }

  protected mountsOf(key: SnapshotKey): readonly Mount[] {
    return [{ type: "memory", source: key, target: null, options: this.get(key).kind === "view" ? ["ro"] : [] }];
  }
}

export function snapshotOf({ kind, key, parent, createdAt }: MemorySnapshot): Snapshot {
  return { kind, key, parent, createdAt } as Snapshot;
}

export async function* streamOf<T>(items: readonly T[]): AsyncGenerator<T, void, undefined> {
  yield* items;
}
