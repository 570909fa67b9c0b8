/**
 * Snapshots as plain directories: each is a full copy of its parent, with reflinks where the file system has them. Slow and large
 * elsewhere, but it works on every file system and every host; so the other drivers are compared with it.
 */
import { chmodSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import {
  type ActiveKey,
  type Adopts,
  type Call,
  type CommitOptions,
  fail,
  type HostToolkit,
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
import { SnapshotStore } from "@tsbox/kernel/snapshots";

export class VfsDriver implements StorageDriver, Adopts, Reclaims, Settles {
  readonly powers: readonly (keyof StoragePowers)[] = ["adopt", "reclaim", "settle"];
  readonly #store: SnapshotStore;
  readonly #host: HostToolkit;
  readonly #rootDirectory: string;

  /** `makeCall`: for background work. */
  constructor(host: HostToolkit, rootDirectory: string, makeCall: () => Call) {
    this.#store = new SnapshotStore({ directory: rootDirectory, host, makeCall });
    this.#host = host;
    this.#rootDirectory = rootDirectory;
  }

  async prepare(call: Call, key: ActiveKey, parent: SnapshotName | null, options: PrepareOptions = {}): Promise<readonly Mount[]> {
    if (options.quotaBytes !== undefined)
      throw fail("Unsupported", "storage-vfs has no quotas; leave the size limit out or choose another storage driver");
    const [below] = this.#store.chain(parent);
    const { directory } = await this.#store.create("active", key, parent, { durable: options.volatile !== true }, (path) =>
      below === undefined ? makeRoot(join(path, "fs")) : this.#host.copyTree(call, join(below.directory, "fs"), join(path, "fs")),
    );
    return bind(join(directory, "fs"), []);
  }

  /** A view copies nothing: it shows its parent, which never changes. */
  async view(_call: Call, key: ViewKey, parent: SnapshotName | null): Promise<readonly Mount[]> {
    await this.#store.create("view", key, parent, { durable: false }, (path) => (parent === null ? makeRoot(join(path, "fs")) : undefined));
    return this.#viewMounts(key);
  }

  async mounts(_call: Call, key: ActiveKey | ViewKey, options: MountsOptions = {}): Promise<readonly Mount[]> {
    const { kind, directory } = this.#store.get(key);
    if (kind === "active") return bind(join(directory, "fs"), options.readOnly === true ? ["ro"] : []);
    if (kind === "view") return this.#viewMounts(key);
    throw fail("FailedPrecondition", `${key} is committed: make a view of it`);
  }

  async commit(call: Call, name: SnapshotName, key: ActiveKey, options: CommitOptions = {}): Promise<void> {
    if (options.parent !== undefined && options.parent !== this.#store.get(key).parent) {
      throw fail("Unsupported", "storage-vfs can't put a snapshot on another parent: prepare it on that parent");
    }
    await this.#store.commit(call, name, key, { volatile: options.volatile });
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
    return this.#host.usage(call, this.#store.get(key).directory);
  }

  async list(_call: Call): Promise<AsyncIterable<Snapshot>> {
    return this.#store.list();
  }

  /** A copy without the driver's own directory; otherwise copying the whole machine would never end. */
  async adopt(call: Call, name: SnapshotName, directory: string): Promise<void> {
    if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory())
      throw fail("NotFound", `no such directory: ${directory}`, { path: directory });
    await this.#store.create("committed", name, null, { durable: true }, async (path) => {
      await this.#host.copyTree(call, directory, join(path, "fs"), { exclude: [this.#rootDirectory] });
      await this.#host.sync(call, path);
    });
  }

  async reclaim(call: Call): Promise<{ readonly bytes: number }> {
    return { bytes: await this.#store.reclaim(call, true) };
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  #viewMounts(key: ViewKey | ActiveKey): readonly Mount[] {
    const view = this.#store.get(key);
    const [shown = view] = this.#store.chain(view.parent);
    return bind(join(shown.directory, "fs"), ["ro"]);
  }
}

function makeRoot(path: string): void {
  mkdirSync(path);
  chmodSync(path, 0o755);
}

function bind(source: string, options: readonly string[]): readonly Mount[] {
  return [{ type: "bind", source, target: null, options }];
}
