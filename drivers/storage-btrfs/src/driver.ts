/**
 * Snapshots as subvolumes. In a snapshot's directory `fs` is a subvolume, made as a snapshot of its parent's: nothing is copied, blocks are
 * shared until they are written. A committed one is read-only.
 *
 * A container may make subvolumes of its own in its root, which a snapshot would show as empty directories. So they become directories at
 * a commit, and are removed with the layer (`removals.ts`).
 */
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import {
  type ActiveKey,
  type Adopts,
  type Applies,
  type Call,
  type Change,
  type CommitOptions,
  cleanupCall,
  type DiffOptions,
  type Diffs,
  fail,
  type HostToolkit,
  type Layer,
  type LayerFile,
  type Lists,
  type Mount,
  type MountsOptions,
  type PrepareOptions,
  type Reclaims,
  type Settles,
  type Snapshot,
  type SnapshotKey,
  type SnapshotName,
  type StorageDriver,
  type StoragePowers,
  type Usage,
  type ViewKey,
} from "@tsbox/kernel";
import { SnapshotStore, type StoredSnapshot } from "@tsbox/kernel/snapshots";
import { Removals } from "./removals.ts";
import { Syncs } from "./syncs.ts";

export class BtrfsDriver implements StorageDriver, Applies, Diffs, Lists, Adopts, Reclaims, Settles {
  readonly powers: readonly (keyof StoragePowers)[] = ["apply", "follow", "diff", "changes", "adopt", "reclaim", "settle", "quota"];
  readonly #store: SnapshotStore;
  readonly #removals: Removals;
  readonly #syncs: Syncs;
  readonly #host: HostToolkit;
  readonly #directory: string;
  readonly #empty: string;
  /** Keys that are being committed: their trees are about to be read-only. */
  readonly #committing = new Set<string>();

  /** `makeCall`: for background work. */
  constructor(host: HostToolkit, rootDirectory: string, makeCall: () => Call) {
    this.#host = host;
    this.#directory = rootDirectory;
    this.#empty = join(rootDirectory, "empty");
    mkdirSync(this.#empty, { recursive: true, mode: 0o755 });
    this.#removals = new Removals({ host, directory: rootDirectory, makeCall });
    this.#syncs = new Syncs(() => host.sync(makeCall(), rootDirectory));
    this.#store = new SnapshotStore({
      directory: rootDirectory,
      host: {
        removeTree: (call, path) => this.#removals.remove(call, path),
        usage: (call, path) => this.#usage(call, path),
        sync: (call, path) => host.sync(call, path),
        limitTree: (call, paths, bytes) => host.limitTree(call, paths, bytes),
        unlimitTree: (call, path) => host.unlimitTree(call, path),
      },
      makeCall,
      beforeCommit: (call, snapshot) => this.#close(call, snapshot),
    });
  }

  async prepare(call: Call, key: ActiveKey, parent: SnapshotName | null, options: PrepareOptions = {}): Promise<readonly Mount[]> {
    const { quotaBytes, volatile } = options;
    const [below] = this.#store.chain(parent);
    const snapshot = await this.#store.create("active", key, parent, { durable: volatile !== true }, async (directory) => {
      const tree = join(directory, "fs");
      await (below === undefined ? this.#host.createSubvolume(call, tree) : this.#host.snapshotSubvolume(call, treeOf(below), tree));
      if (quotaBytes !== undefined) await this.#limit(call, tree, quotaBytes);
    });
    return bind(treeOf(snapshot), []);
  }

  /** A view shows its parent, which never changes. */
  async view(_call: Call, key: ViewKey, parent: SnapshotName | null): Promise<readonly Mount[]> {
    await this.#store.create("view", key, parent, { durable: false }, () => undefined);
    return this.#viewMounts(key);
  }

  async mounts(call: Call, key: ActiveKey | ViewKey, options: MountsOptions = {}): Promise<readonly Mount[]> {
    const snapshot = this.#store.get(key);
    if (snapshot.kind === "view") return this.#viewMounts(key);
    if (snapshot.kind === "committed") throw fail("FailedPrecondition", `${key} is committed: make a view of it`);
    if (options.readOnly === true) return bind(treeOf(snapshot), ["ro"]);
    // A commit may have been interrupted, and a container's root may make its own root directory's subvolume read-only.
    if (!this.#committing.has(key)) await this.#host.setSubvolumeReadOnly(call, treeOf(snapshot), false);
    return bind(treeOf(snapshot), []);
  }

  async commit(call: Call, name: SnapshotName, key: ActiveKey, options: CommitOptions = {}): Promise<void> {
    const snapshot = this.#store.get(key);
    if (options.parent !== undefined && options.parent !== snapshot.parent)
      throw fail("Unsupported", "storage-btrfs can't put a snapshot on another parent: prepare it on that parent");
    if (this.#committing.has(key)) throw fail("Conflict", `${key} is being committed by another call`);
    this.#committing.add(key);
    try {
      await this.#store.commit(call, name, key, { volatile: options.volatile });
    } catch (error) {
      if (snapshot.kind === "active") await this.#reopen(call, snapshot);
      throw error;
    } finally {
      this.#committing.delete(key);
    }
  }

  settle(call: Call, key: SnapshotKey): Promise<void> {
    return this.#store.settle(call, key);
  }

  async remove(_call: Call, key: SnapshotKey): Promise<void> {
    this.#store.remove(key);
  }

  async stat(_call: Call, key: SnapshotKey): Promise<Snapshot> {
    return this.#store.stat(key);
  }

  async usage(call: Call, key: SnapshotKey): Promise<Usage> {
    const { kind, directory } = this.#store.get(key);
    if (kind === "active") await this.#syncs.run();
    return this.#usage(call, directory);
  }

  async list(_call: Call): Promise<AsyncIterable<Snapshot>> {
    return this.#store.list();
  }

  async apply(call: Call, key: ActiveKey, layer: LayerFile): Promise<Layer> {
    const snapshot = this.#store.get(key);
    if (snapshot.kind !== "active") throw fail("FailedPrecondition", `${key} is not active: nothing can be laid over it`);
    return this.#host.apply(call, treeOf(snapshot), layer);
  }

  async diff(call: Call, lower: SnapshotName | null, upper: SnapshotKey, into: LayerFile, options: DiffOptions = {}): Promise<Layer> {
    const { below, above, snapshot } = await this.#pair(call, lower, upper);
    return this.#host.diff(call, below, above, into, { ...options, snapshot });
  }

  async changes(call: Call, lower: SnapshotName | null, upper: SnapshotKey, options: DiffOptions = {}): Promise<AsyncIterable<Change>> {
    const { below, above, snapshot } = await this.#pair(call, lower, upper);
    return this.#host.changes(call, below, above, { ...options, snapshot });
  }

  /** A copy, with shared blocks where the directory is on the same btrfs, without the driver's own directory. */
  async adopt(call: Call, name: SnapshotName, directory: string): Promise<void> {
    if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory())
      throw fail("NotFound", `no such directory: ${directory}`, { path: directory });
    await this.#store.create("committed", name, null, { durable: true }, async (path) => {
      const tree = join(path, "fs");
      await this.#host.createSubvolume(call, tree);
      await this.#host.copyTree(call, directory, tree, { exclude: [this.#directory] });
      await this.#host.setSubvolumeReadOnly(call, tree, true);
      await this.#host.sync(call, path);
    });
  }

  async reclaim(call: Call): Promise<{ readonly bytes: number }> {
    await this.#syncs.run();
    const bytes = await this.#store.reclaim(call, true);
    await this.#removals.settle(call);
    return { bytes };
  }

  async close(): Promise<void> {
    await this.#store.close();
    await this.#removals.close();
  }

  /** Makes a tree what its children are made of: whole, without a limit, read-only. */
  async #close(call: Call, snapshot: StoredSnapshot): Promise<void> {
    const tree = treeOf(snapshot);
    // A tree at its limit can't be changed in any way.
    await this.#host.limitSubvolume(call, tree, null);
    await this.#host.setSubvolumeReadOnly(call, tree, false);
    await this.#host.flattenSubvolume(call, tree);
    await this.#host.setSubvolumeReadOnly(call, tree, true);
  }

  async #reopen(call: Call, snapshot: StoredSnapshot): Promise<void> {
    try {
      await this.#host.setSubvolumeReadOnly(cleanupCall(call), treeOf(snapshot), false);
    } catch (error) {
      // The first error matters, and the next mount tries again.
      call.log.warn(`${snapshot.key} stays read-only until it is mounted again: ${String(error)}`);
    }
  }

  async #limit(call: Call, tree: string, bytes: number): Promise<void> {
    if ((await this.#host.subvolumeQuotas(call, tree)) === "off") await this.#host.enableSubvolumeQuotas(call, tree);
    await this.#host.limitSubvolume(call, tree, bytes);
  }

  /** The trees of two snapshots, and whether the upper one was made of the lower one. */
  async #pair(call: Call, lower: SnapshotName | null, upper: SnapshotKey): Promise<Pair> {
    const above = this.#store.get(upper);
    const [below] = this.#store.chain(lower);
    if (above.kind === "active") await this.#syncs.run();
    call.signal.throwIfAborted();
    return {
      below: below === undefined ? null : treeOf(below),
      above: above.kind === "view" ? this.#shownBy(above) : treeOf(above),
      snapshot: below !== undefined && above.kind !== "view" && above.parent === lower,
    };
  }

  /** Of the directory of a snapshot: a view has no tree. */
  async #usage(call: Call, directory: string): Promise<Usage> {
    const tree = join(directory, "fs");
    return statSync(tree, { throwIfNoEntry: false }) === undefined
      ? this.#host.usage(call, directory)
      : this.#host.subvolumeUsage(call, tree);
  }

  #viewMounts(key: ViewKey | ActiveKey): readonly Mount[] {
    return bind(this.#shownBy(this.#store.get(key)), ["ro"]);
  }

  #shownBy(view: StoredSnapshot): string {
    const [shown] = this.#store.chain(view.parent);
    return shown === undefined ? this.#empty : treeOf(shown);
  }
}

interface Pair {
  readonly below: string | null;
  readonly above: string;
  readonly snapshot: boolean;
}

function treeOf(snapshot: StoredSnapshot): string {
  return join(snapshot.directory, "fs");
}

function bind(source: string, options: readonly string[]): readonly Mount[] {
  return [{ type: "bind", source, target: null, options }];
}
