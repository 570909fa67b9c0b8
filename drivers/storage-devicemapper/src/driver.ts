/**
 * Snapshots as thin devices of the device mapper. In a snapshot's directory the file `device` names its device, which begins as a snapshot
 * of its parent's: blocks are shared until they are written. Each device has a file system; that of a committed one is never written.
 *
 * A device is mapped (has a node) while somebody may mount it. `mounts` maps it, `released` and a sweep let it go.
 *
 * The order of writes keeps a device from being lost or given away twice: its number is in the directory before the pool has it, and the
 * directory goes after the pool has removed it. The pool writes its own metadata with each of its messages.
 */
import { mkdirSync, readdirSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import {
  type ActiveKey,
  type Applies,
  type Call,
  type Change,
  type CommitOptions,
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
  type Releases,
  type Reports,
  type Settles,
  type Snapshot,
  type SnapshotKey,
  type SnapshotName,
  type StorageDriver,
  type StoragePowers,
  type StorageReport,
  type Usage,
  type ViewKey,
  withMounts,
} from "@tsbox/kernel";
import { SnapshotStore, type StoredSnapshot } from "@tsbox/kernel/snapshots";
import { sectorBytes } from "./internal/backing.ts";
import { type Base, makeBase, readBase } from "./internal/base.ts";
import { readOnlyMount, writableMount } from "./internal/file-systems.ts";
import { Pool } from "./internal/pool.ts";
import { type DeviceRecord, flush, readDevice, writeDevice } from "./internal/records.ts";
import { reportOf } from "./internal/report.ts";
import type { Settings } from "./settings.ts";

export interface DriverOptions {
  readonly host: HostToolkit;
  readonly directory: string;
  readonly engineId: string;
  readonly settings: Settings;
  /** Makes the calls for background work. */
  readonly makeCall: () => Call;
}

const folders = ["active", "view", "committed", "making", "removed"] as const;
/** Milliseconds that a commit waits for the last unmount, and a `reclaim` for containers that have just ended. */
const unmountTimeout = 5_000;
/** Milliseconds until a removed device that was in use is tried again; doubled each time. */
const firstRetry = 1_000;
const lastRetry = 60_000;
/** A file system needs room beside its files. */
const overhead = (bytes: number): number => Math.ceil((bytes * 1.1 + 64 * 2 ** 20) / 2 ** 20) * 2 ** 20;

export class DeviceMapperDriver implements StorageDriver, Applies, Diffs, Lists, Reclaims, Releases, Reports, Settles {
  readonly powers: readonly (keyof StoragePowers)[] = [
    "apply",
    "follow",
    "diff",
    "changes",
    "reclaim",
    "release",
    "report",
    "settle",
    "quota",
  ];
  readonly #options: DriverOptions;
  readonly #host: HostToolkit;
  readonly #directory: string;
  readonly #pool: Pool;
  readonly #store: SnapshotStore;
  readonly #empty: string;
  #base: Base | null;
  /** Removed snapshots whose devices were in use. */
  readonly #busy = new Set<string>();
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: DriverOptions) {
    const { host, directory, makeCall, settings } = options;
    this.#options = options;
    this.#host = host;
    this.#directory = directory;
    this.#base = readBase(directory);
    if (!(this.#base?.quotas ?? settings.fileSystem === "xfs")) this.powers = this.powers.filter((power) => power !== "quota");
    this.#empty = join(directory, "empty");
    mkdirSync(this.#empty, { recursive: true, mode: 0o755 });
    this.#pool = new Pool({ ...options, known: () => this.#known() });
    this.#store = new SnapshotStore({
      directory,
      host: {
        removeTree: (call, path) => this.#erase(call, path),
        usage: (call, path) => this.#usageOf(call, path),
        sync: (call, path) => this.#sync(call, path),
        limitTree: (call, paths, bytes) => host.limitTree(call, paths, bytes),
        unlimitTree: (call, path) => host.unlimitTree(call, path),
      },
      makeCall,
      beforeCommit: (call, snapshot) => this.#finish(call, snapshot),
    });
  }

  /** Looks after what an engine that died has left mapped. */
  async recover(call: Call): Promise<void> {
    if (await this.#pool.isMapped(call)) await this.#pool.run(call, async () => undefined);
  }

  async prepare(call: Call, key: ActiveKey, parent: SnapshotName | null, options: PrepareOptions = {}): Promise<readonly Mount[]> {
    const { quotaBytes, volatile } = options;
    if (quotaBytes !== undefined && !this.powers.includes("quota"))
      throw fail("Unsupported", "storage-devicemapper limits sizes on xfs only; leave the size limit out, or make a pool with xfs");
    const [below] = this.#store.chain(parent);
    let path = "";
    await this.#store.create("active", key, parent, { durable: volatile !== true }, (directory) =>
      this.#pool.run(call, async () => {
        const base = await this.#ensureBase();
        const origin = below === undefined ? base : deviceOf(below);
        const device: DeviceRecord = { number: await this.#pool.take(), sectors: origin.sectors };
        await writeDevice(directory, device);
        await this.#pool.make(call, device.number, origin.number);
        path = await this.#pool.map(call, device);
        if (quotaBytes !== undefined) await this.#limit(call, directory, device, path, quotaBytes);
      }),
    );
    return [writableMount(path, this.#format())];
  }

  /** A view shows its parent, which never changes. */
  async view(call: Call, key: ViewKey, parent: SnapshotName | null): Promise<readonly Mount[]> {
    let mounts: readonly Mount[] = [];
    await this.#store.create("view", key, parent, { durable: false }, async () => {
      mounts = await this.#shown(call, parent);
    });
    return mounts;
  }

  async mounts(call: Call, key: ActiveKey | ViewKey, options: MountsOptions = {}): Promise<readonly Mount[]> {
    const snapshot = this.#store.get(key);
    if (snapshot.kind === "committed") throw fail("FailedPrecondition", `${key} is committed: make a view of it`);
    if (snapshot.kind === "view") return this.#shown(call, snapshot.parent);
    // Only the mount is read-only: the device may have a journal to be replayed, and may be mounted elsewhere.
    return [writableMount(await this.#mapped(call, snapshot), this.#format(), options.readOnly === true ? ["ro"] : [])];
  }

  async commit(call: Call, name: SnapshotName, key: ActiveKey, options: CommitOptions = {}): Promise<void> {
    const snapshot = this.#store.get(key);
    if (options.parent !== undefined && options.parent !== snapshot.parent)
      throw fail("Unsupported", "storage-devicemapper can't put a snapshot on another parent: prepare it on that parent");
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
    return this.#usageOf(call, this.#store.get(key).directory, this.#store.get(key));
  }

  async list(_call: Call): Promise<AsyncIterable<Snapshot>> {
    return this.#store.list();
  }

  async apply(call: Call, key: ActiveKey, layer: LayerFile): Promise<Layer> {
    if (this.#store.get(key).kind !== "active") throw fail("FailedPrecondition", `${key} is not active: nothing can be laid over it`);
    return withMounts(call, this.#host, await this.mounts(call, key), (root) => this.#host.apply(call, root, layer));
  }

  async diff(call: Call, lower: SnapshotName | null, upper: SnapshotKey, into: LayerFile, options: DiffOptions = {}): Promise<Layer> {
    return this.#compare(call, lower, upper, (below, above) => this.#host.diff(call, below, above, into, options));
  }

  async changes(call: Call, lower: SnapshotName | null, upper: SnapshotKey, options: DiffOptions = {}): Promise<AsyncIterable<Change>> {
    return this.#compare(call, lower, upper, (below, above) => this.#host.changes(call, below, above, options));
  }

  /** A view's device is its parent's. */
  async released(_call: Call, key: ActiveKey | ViewKey): Promise<void> {
    const snapshot = this.#store.get(key);
    const [shown] = snapshot.kind === "view" ? this.#store.chain(snapshot.parent) : [snapshot];
    if (shown !== undefined) this.#pool.release(deviceOf(shown).number);
  }

  async report(call: Call): Promise<StorageReport> {
    return reportOf({ backing: this.#pool.backing, name: this.#pool.name, status: await this.#pool.status(call), base: this.#base });
  }

  /** The bytes are the pool's: what a removed snapshot shared with others is not free. */
  async reclaim(call: Call): Promise<{ readonly bytes: number }> {
    if (readdirSync(join(this.#directory, "removed")).length === 0) {
      await this.#pool.sweep(call);
      return { bytes: 0 };
    }
    const usedNow = async (): Promise<number> => this.#pool.run(call, async () => (await this.#pool.status(call))?.data.used ?? 0);
    const before = await usedNow();
    await this.#store.reclaim(call, false);
    for (const end = Date.now() + unmountTimeout; this.#busy.size > 0 && Date.now() < end; ) {
      await pause(50, undefined, { signal: call.signal });
      await this.#store.reclaim(call, false);
    }
    if (this.#busy.size > 0) call.log.warn(`${this.#busy.size} removed layers are still mounted: they are removed when they no longer are`);
    const bytes = Math.max(0, before - (await usedNow()));
    await this.#pool.sweep(call);
    return { bytes };
  }

  async close(call: Call): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    await this.#store.close();
    await this.#pool.close(call);
  }

  /** Within the pool's turn. */
  async #ensureBase(): Promise<Base> {
    this.#base ??= await makeBase({ ...this.#options, pool: this.#pool });
    return this.#base;
  }

  #format(): Base {
    if (this.#base === null) throw fail("DataLoss", "storage-devicemapper: its file base.json is lost");
    return this.#base;
  }

  #mapped(call: Call, snapshot: StoredSnapshot, readOnly = false): Promise<string> {
    return this.#pool.run(call, () => this.#pool.map(call, deviceOf(snapshot), readOnly));
  }

  /** The mounts that show a committed snapshot. */
  async #shown(call: Call, name: SnapshotName | null): Promise<readonly Mount[]> {
    const [shown] = this.#store.chain(name);
    if (shown === undefined) return [{ type: "bind", source: this.#empty, target: null, options: ["ro"] }];
    return [readOnlyMount(await this.#mapped(call, shown, true), this.#format())];
  }

  async #compare<T>(
    call: Call,
    lower: SnapshotName | null,
    upper: SnapshotKey,
    compare: (below: string | null, above: string) => Promise<T>,
  ): Promise<T> {
    const above = this.#store.get(upper);
    this.#store.chain(lower);
    const mounts =
      above.kind === "active"
        ? await this.mounts(call, upper as ActiveKey, { readOnly: true })
        : await this.#shown(call, above.kind === "view" ? above.parent : (upper as SnapshotName));
    return withMounts(call, this.#host, mounts, async (root) =>
      lower === null
        ? compare(null, root)
        : withMounts(call, this.#host, await this.#shown(call, lower), (lowerRoot) => compare(lowerRoot, root)),
    );
  }

  /** Within the pool's turn. Limits what is the snapshot's own, and grows device and file system if they could not hold that. */
  async #limit(call: Call, directory: string, device: DeviceRecord, path: string, bytes: number): Promise<void> {
    await withMounts(call, this.#host, [writableMount(path, this.#format())], async (root) => {
      const most = overhead(await this.#host.limitGrowth(call, root, bytes));
      if (most <= device.sectors * sectorBytes) return;
      const grown = { ...device, sectors: most / sectorBytes };
      await writeDevice(directory, grown);
      await this.#pool.grow(call, grown);
      await this.#host.growFileSystem(call, root, most);
    });
  }

  /** Before a commit: nothing is mounted, the size is free, and the device is let go. */
  async #finish(call: Call, snapshot: StoredSnapshot): Promise<void> {
    const device = deviceOf(snapshot);
    if (!(await this.#pool.awaitUnused(call, device.number, unmountTimeout)))
      throw fail("FailedPrecondition", `${snapshot.key} is still mounted: unmount it before it is committed`);
    await this.#pool.run(call, async () => {
      const path = await this.#pool.map(call, device);
      const used = await withMounts(call, this.#host, [writableMount(path, this.#format())], async (root) => {
        if (this.#format().quotas) await this.#host.unlimitTree(call, root);
        return this.#usedAt(call, root);
      });
      await writeDevice(snapshot.directory, { ...device, used });
      await this.#pool.unmap(call, device.number);
    });
  }

  /** What the files below the root of a device's file system take. */
  async #usedAt(call: Call, root: string): Promise<Usage> {
    if (this.#format().quotas) return this.#host.projectUsage(call, root);
    const { bsize, blocks, bfree, files, ffree } = statfsSync(root);
    return { bytes: (blocks - bfree) * bsize, inodes: files - ffree };
  }

  /** A snapshot's own: without what its parent has. `snapshot`: it is not removed. */
  async #usageOf(call: Call, directory: string, snapshot?: StoredSnapshot): Promise<Usage> {
    const device = readDevice(directory);
    // How much of a removed one is shared is not known any more.
    if (device === null || snapshot === undefined) return this.#host.usage(call, directory);
    const used = device.used ?? (await this.#usedNow(call, snapshot));
    const [parent] = this.#store.chain(snapshot.parent);
    const shared = parent === undefined ? { bytes: 0, inodes: 0 } : (deviceOf(parent).used ?? used);
    return {
      bytes: Math.max(0, used.bytes - shared.bytes),
      inodes: Math.max(1, used.inodes - shared.inodes + (parent === undefined ? 0 : 1)),
    };
  }

  async #usedNow(call: Call, snapshot: StoredSnapshot): Promise<Usage> {
    // quotactl_fd(2) refuses a mount that is read-only.
    const mounts = await this.mounts(call, snapshot.key as ActiveKey);
    return withMounts(call, this.#host, mounts, (root) => this.#usedAt(call, root));
  }

  /** Of a snapshot's directory: its files, and what was written to its device. */
  async #sync(call: Call, directory: string): Promise<void> {
    const device = readDevice(directory);
    if (device !== null) await this.#pool.run(call, () => this.#pool.flush(call, device));
    await this.#host.sync(call, directory);
  }

  /** Removes a directory after its device. If that is in use, both stay until it no longer is. */
  async #erase(call: Call, directory: string): Promise<void> {
    const device = readDevice(directory);
    if (device !== null) {
      // After a power cut, a snapshot without its device must not be back under its key.
      for (const folder of ["removed", "active", "view", "committed"]) await flush(join(this.#directory, folder));
      if (!(await this.#pool.run(call, () => this.#pool.remove(call, device)))) {
        this.#busy.add(directory);
        this.#retryIn(firstRetry);
        return;
      }
    }
    await this.#host.removeTree(call, directory);
    this.#busy.delete(directory);
  }

  #retryIn(milliseconds: number): void {
    if (this.#closed || this.#retry !== undefined) return;
    this.#retry = setTimeout(async () => {
      this.#retry = undefined;
      const call = this.#options.makeCall();
      try {
        await this.#store.reclaim(call, false);
      } catch (error) {
        if (!call.signal.aborted) call.log.warn(`removed snapshots could not be deleted: ${String(error)}`);
      }
      if (this.#busy.size > 0) {
        clearTimeout(this.#retry);
        this.#retry = undefined;
        this.#retryIn(Math.min(milliseconds * 2, lastRetry));
      }
    }, milliseconds).unref();
  }

  #known(): readonly DeviceRecord[] {
    const base = readBase(this.#directory);
    const records = folders.flatMap((folder) =>
      readdirSync(join(this.#directory, folder)).flatMap((name) => readDevice(join(this.#directory, folder, name)) ?? []),
    );
    return base === null ? records : [base, ...records];
  }
}

function deviceOf(snapshot: StoredSnapshot): DeviceRecord {
  const device = readDevice(snapshot.directory);
  if (device === null) throw fail("DataLoss", `the device of snapshot ${snapshot.key} is not known any more: remove the snapshot`);
  return device;
}
