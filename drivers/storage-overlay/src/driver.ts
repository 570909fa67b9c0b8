/**
 * Snapshots as overlayfs layers. A snapshot's directory contains `fs`, its own changes (an overlay's upper directory, or a lower directory
 * of its children), and `work` while it is active. Nothing is copied: a prepare is three mkdirs.
 *
 * All mounts are overlays, also those of a snapshot without a parent (over an empty directory). So a layer's whiteouts always have the
 * overlay's form, and a layer that is unpacked alone can be put on a parent later (power `rebase`).
 *
 * An adopted directory that contains this store (as `/` does) is a special base: overlayfs refuses a lower directory inside another one
 * (ELOOP), but not an upper directory. So a snapshot on such a base has all changes since the base in its own directory: they are copied
 * when it is prepared. That is cheap for the files that `host:/` hides, and correct for all others.
 */
import { chmodSync, chownSync, mkdirSync, rmdirSync, statSync } from "node:fs";
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
  supports,
  type Usage,
  type ViewKey,
  withCleanup,
  withMounts,
} from "@tsbox/kernel";
import { SnapshotStore, type StoredSnapshot } from "@tsbox/kernel/snapshots";
import { userXattr } from "./user-xattr.ts";

/** OVL_MAX_STACK, fs/overlayfs/params.h */
const maxLowers = 500;
const emptyRoot = { mode: 0o755, uid: 0, gid: 0 };
const skeleton = [
  { name: "fs", mode: 0o755 },
  { name: "work", mode: 0o700 },
];
/**
 * A distribution may enable features whose results `diffOverlay`, or a later mount by another kernel, can't read. With layers on several
 * file systems (an adopted base), `xino` gives each file a number that no other one has, and that stays when the file is copied up.
 */
const fixed: readonly string[] = ["redirect_dir=off", "metacopy=off", "index=off", "xino=auto"];

/** Overlays with `userxattr` have no redirects, and take no word about them. */
const features = [...fixed.filter((option) => userXattr().length === 0 || !option.startsWith("redirect_dir")), ...userXattr()];

export class OverlayDriver implements StorageDriver, Applies, Diffs, Lists, Adopts, Reclaims, Settles {
  readonly powers: readonly (keyof StoragePowers)[] = [
    "apply",
    "follow",
    "diff",
    "changes",
    "adopt",
    "reclaim",
    "rebase",
    "settle",
    "quota",
  ];
  readonly #store: SnapshotStore;
  readonly #host: HostToolkit;
  readonly #empty: string;
  readonly #directory: string;
  #looks = 0;

  /** `makeCall`: for background work. `quotas`: the host can limit directories below `rootDirectory`. */
  constructor(host: HostToolkit, rootDirectory: string, makeCall: () => Call, quotas: boolean) {
    if (!quotas) this.powers = this.powers.filter((power) => power !== "quota");
    this.#store = new SnapshotStore({ directory: rootDirectory, host, makeCall, skeleton, quotas });
    this.#host = host;
    this.#directory = rootDirectory;
    this.#empty = join(rootDirectory, "empty");
    mkdirSync(this.#empty, { recursive: true, mode: 0o755 });
  }

  async prepare(call: Call, key: ActiveKey, parent: SnapshotName | null, options: PrepareOptions = {}): Promise<readonly Mount[]> {
    const { quotaBytes, volatile, discarded } = options;
    if (quotaBytes !== undefined && !supports(this, "quota"))
      throw fail(
        "Unsupported",
        "storage-overlay has quotas on ext4 and xfs with project quotas only (mount option prjquota); leave the size limit out or choose another storage driver",
      );
    const lowers = this.#lowers(parent);
    const carried = this.#carried(parent);
    const snapshot = await this.#store.create("active", key, parent, { durable: volatile !== true, discarded, quotaBytes }, (directory) =>
      carried === null ? setRoot(join(directory, "fs"), lowers[0]) : this.#carry(call, carried, directory),
    );
    return writable(snapshot, lowers, this.#empty);
  }

  async view(call: Call, key: ViewKey, parent: SnapshotName | null): Promise<readonly Mount[]> {
    const carried = this.#carried(parent);
    await this.#store.create("view", key, parent, { durable: false }, (directory) => {
      if (carried === null) return;
      for (const { name, mode } of skeleton) mkdirSync(join(directory, name), { mode });
      return this.#carry(call, carried, directory);
    });
    return this.mounts(call, key);
  }

  async mounts(_call: Call, key: ActiveKey | ViewKey, options: MountsOptions = {}): Promise<readonly Mount[]> {
    const snapshot = this.#store.get(key);
    const lowers = this.#lowers(snapshot.parent);
    if (snapshot.kind === "active") {
      if (options.readOnly !== true) return writable(snapshot, lowers, this.#empty);
      // Not as an upper directory: a second overlay with the same work directory would disturb the first. But a snapshot inside its base
      // can't be a lower directory.
      return this.#isInside(snapshot)
        ? writable(snapshot, lowers, this.#empty, ["ro"])
        : readOnly([tree(snapshot), ...lowers], this.#empty);
    }
    if (snapshot.kind === "view")
      return this.#carried(snapshot.parent) === null ? readOnly(lowers, this.#empty) : writable(snapshot, lowers, this.#empty, ["ro"]);
    throw fail("FailedPrecondition", `${key} is committed: make a view of it`);
  }

  async commit(call: Call, name: SnapshotName, key: ActiveKey, options: CommitOptions = {}): Promise<void> {
    const { parent } = this.#store.get(key);
    checkDepth(name, this.#lowers(options.parent ?? parent).length + 1);
    await this.#store.commit(call, name, key, options);
    // The snapshot is committed: an empty directory that remains is not an error.
    const work = join(this.#store.get(name).directory, "work");
    await this.#host.removeTree(call, work).catch((error: unknown) => call.log.warn(`${work} could not be removed: ${String(error)}`));
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
    const snapshot = this.#store.get(key);
    return this.#host.usage(call, snapshot.kind === "view" || snapshot.source !== null ? snapshot.directory : tree(snapshot));
  }

  async list(_call: Call): Promise<AsyncIterable<Snapshot>> {
    return this.#store.list();
  }

  async apply(call: Call, key: ActiveKey, layer: LayerFile): Promise<Layer> {
    const snapshot = this.#store.get(key);
    if (snapshot.kind !== "active") throw fail("FailedPrecondition", `${key} is not active: nothing can be laid over it`);
    // Without a parent, one may come at the commit (`rebase`), and every whiteout is kept for it.
    const parents = snapshot.parent === null ? undefined : this.#lowers(snapshot.parent);
    return this.#host.apply(call, tree(snapshot), layer, { whiteouts: "overlay", parents });
  }

  async diff(call: Call, lower: SnapshotName | null, upper: SnapshotKey, into: LayerFile, options: DiffOptions = {}): Promise<Layer> {
    const above = this.#store.get(upper);
    const below = this.#lowers(lower);
    if (isOwnTree(above, lower)) return this.#host.diffOverlay(call, tree(above), into, { ...options, ...this.#since(above) });
    const whole = [...(above.kind === "view" ? [] : [tree(above)]), ...this.#lowers(above.parent)];
    return withMounts(call, this.#host, readOnly(whole, this.#empty), (upperRoot) =>
      lower === null
        ? this.#host.diff(call, null, upperRoot, into, options)
        : withMounts(call, this.#host, readOnly(below, this.#empty), (lowerRoot) =>
            this.#host.diff(call, lowerRoot, upperRoot, into, options),
          ),
    );
  }

  async changes(call: Call, lower: SnapshotName | null, upper: SnapshotKey, options: DiffOptions = {}): Promise<AsyncIterable<Change>> {
    const above = this.#store.get(upper);
    const against = (below: string | null): Promise<AsyncIterable<Change>> => {
      if (isOwnTree(above, lower))
        return this.#host.changes(call, below, tree(above), { ...options, ...this.#since(above), overlay: true });
      const whole = [...(above.kind === "view" ? [] : [tree(above)]), ...this.#lowers(above.parent)];
      return withMounts(call, this.#host, readOnly(whole, this.#empty), (root) => this.#host.changes(call, below, root, options));
    };
    return lower === null ? against(null) : this.#look(call, lower, against);
  }

  /** Mounts a committed snapshot and passes its root to `use`. */
  async #look<T>(call: Call, name: SnapshotName, use: (root: string) => Promise<T>): Promise<T> {
    this.#looks += 1;
    const key = `look-${process.pid}-${Date.now()}-${this.#looks}` as ViewKey;
    return withCleanup(async (cleanup) => {
      const mounts = await this.view(call, key, name);
      cleanup.always(() => this.remove(cleanupCall(call), key));
      return withMounts(call, this.#host, mounts, use);
    });
  }

  #isInside(snapshot: StoredSnapshot): boolean {
    return this.#surrounds(this.#store.chain(snapshot.parent).at(-1));
  }

  async adopt(_call: Call, name: SnapshotName, directory: string): Promise<void> {
    if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory())
      throw fail("NotFound", `no such directory: ${directory}`, { path: directory });
    await this.#store.create("committed", name, null, { durable: true, source: directory }, () => undefined);
  }

  async reclaim(call: Call): Promise<{ readonly bytes: number }> {
    return { bytes: await this.#store.reclaim(call, true) };
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  /** The tree that a snapshot on `parent` starts with: the changes since a base that contains this store; null on every other base. */
  #carried(parent: SnapshotName | null): string | null {
    const chain = this.#store.chain(parent);
    const [top] = chain;
    return top !== undefined && top.source === null && this.#surrounds(chain.at(-1)) ? tree(top) : null;
  }

  /** The copied tree existed before the snapshot: only later changes are the snapshot's own. */
  #since({ parent }: StoredSnapshot): { readonly since?: string } {
    const carried = this.#carried(parent);
    return carried === null ? {} : { since: carried };
  }

  #surrounds(base: StoredSnapshot | undefined): boolean {
    return base?.source != null && `${this.#directory}/`.startsWith(base.source.endsWith("/") ? base.source : `${base.source}/`);
  }

  async #carry(call: Call, from: string, directory: string): Promise<void> {
    const to = join(directory, "fs");
    rmdirSync(to);
    await this.#host.copyTree(call, from, to);
  }

  /** The trees of a committed snapshot and its ancestors, the topmost first. */
  #lowers(name: SnapshotName | null): readonly string[] {
    const chain = this.#store.chain(name);
    const lowers = (this.#surrounds(chain.at(-1)) ? chain.slice(-1) : chain).map(tree);
    checkDepth(name, lowers.length);
    return lowers;
  }
}

function checkDepth(name: SnapshotName | null, layers: number): void {
  if (layers <= maxLowers) return;
  throw fail("FailedPrecondition", `${name} has ${layers} layers, but overlayfs stacks ${maxLowers} at most; squash the image`, {
    reason: "storage-overlay/too-many-lowers",
  });
}

/** Whether the snapshot's changes against `lower` are exactly the contents of its own directory. */
function isOwnTree(snapshot: StoredSnapshot, lower: SnapshotName | null): boolean {
  return snapshot.kind !== "view" && snapshot.source === null && snapshot.parent === lower;
}

function tree(snapshot: StoredSnapshot): string {
  return snapshot.source ?? join(snapshot.directory, "fs");
}

/** An overlay's root shows the owner and mode of its uppermost directory, so they are copied from the parent. */
function setRoot(path: string, parent: string | undefined): void {
  const { mode, uid, gid } = parent === undefined ? emptyRoot : statSync(parent);
  if (uid !== 0 || gid !== 0) chownSync(path, uid, gid);
  chmodSync(path, mode & 0o7777);
}

function writable(snapshot: StoredSnapshot, lowers: readonly string[], empty: string, more: readonly string[] = []): readonly Mount[] {
  const upper = [`upperdir=${tree(snapshot)}`, `workdir=${join(snapshot.directory, "work")}`];
  // No sync at the unmount, and none that the container requests. The second option is for the code that mounts: it removes the mark that
  // the kernel leaves in the work directory, which would make the next mount fail (native/core/src/mount/overlay.rs).
  const volatile = snapshot.discarded ? ["volatile", "x-tsbox.discarded"] : [];
  return [overlay([...(lowers.length === 0 ? [empty] : lowers).map((lower) => `lowerdir+=${lower}`), ...upper, ...volatile, ...more])];
}

/** Without an upper directory, overlayfs needs two lower directories. */
function readOnly(lowers: readonly string[], empty: string): readonly Mount[] {
  if (lowers.length === 0) return [{ type: "bind", source: empty, target: null, options: ["ro"] }];
  const stack = lowers.length === 1 ? [...lowers, empty] : lowers;
  return [overlay([...stack.map((lower) => `lowerdir+=${lower}`), "ro"])];
}

function overlay(options: readonly string[]): Mount {
  return { type: "overlay", source: "overlay", target: null, options: [...options, ...features] };
}
