/** Storage drivers with one bug each, and the rule that must catch it: a suite that misses these proves nothing. */
import {
  type ActiveKey,
  type Call,
  type CommitOptions,
  fail,
  type Mount,
  type MountsOptions,
  type PrepareOptions,
  type Reclaims,
  type Releases,
  type Settles,
  type Snapshot,
  type SnapshotKey,
  type SnapshotName,
  type StoragePowers,
  type Usage,
  type ViewKey,
} from "@tsbox/kernel";
import { MemoryTree } from "../reference/memory-tree.ts";
import { type MemoryDisk, type MemorySnapshot, ReferenceStorage, snapshotOf, streamOf } from "../reference/storage.ts";

export interface BrokenStorage {
  readonly bug: string;
  /** The rule that must catch it; others may fail too. */
  readonly rule: string;
  readonly open: (disk: MemoryDisk) => ReferenceStorage;
}

const broken = (bug: string, rule: string, driver: new (disk: MemoryDisk) => ReferenceStorage): BrokenStorage => ({
  bug,
  rule,
  open: (disk) => new driver(disk),
});

class QuotaIgnored extends ReferenceStorage {
  override async prepare(call: Call, key: ActiveKey, parent: SnapshotName | null, options: PrepareOptions = {}): Promise<readonly Mount[]> {
    return super.prepare(call, key, parent, { ...options, quotaBytes: undefined });
  }
}

export const brokenStorage: readonly BrokenStorage[] = [
  broken(
    "a child shares its parent's tree",
    "storage/siblings-apart",
    class extends ReferenceStorage {
      protected override add(kind: "active" | "view", key: SnapshotKey, parent: SnapshotName | null): void {
        super.add(kind, key, parent);
        if (parent !== null) this.disk.set(key, { ...this.get(key), tree: this.get(parent).tree });
      }
    },
  ),
  broken(
    "a child forgets its parent's tree",
    "storage/child-inherits",
    class extends ReferenceStorage {
      protected override add(kind: "active" | "view", key: SnapshotKey, parent: SnapshotName | null): void {
        super.add(kind, key, parent);
        if (kind === "active") this.disk.set(key, { ...this.get(key), tree: new MemoryTree() });
      }
    },
  ),
  broken(
    "a removed directory that is made again shows its old content",
    "storage/removed-stays-removed",
    class extends ReferenceStorage {
      override async commit(call: Call, name: SnapshotName, key: ActiveKey): Promise<void> {
        const { parent, tree } = this.get(key);
        const before = parent === null ? null : this.get(parent).tree.read();
        await super.commit(call, name, key);
        if (before?.get("home/user") === undefined || tree.read().get("home") === undefined || tree.read().has("home/user")) return;
        tree.edit([{ op: "mkdir", path: "home/user", mode: 0o700 }]);
      }
    },
  ),
  broken(
    "what is to look only is writable",
    "storage/mounts-to-look",
    class extends ReferenceStorage {
      override mounts(call: Call, key: ActiveKey | ViewKey): Promise<readonly Mount[]> {
        return super.mounts(call, key);
      }
    },
  ),
  broken(
    "devices become files",
    "storage/unusual",
    class extends ReferenceStorage {
      override async commit(call: Call, name: SnapshotName, key: ActiveKey): Promise<void> {
        const { tree } = this.get(key);
        await super.commit(call, name, key);
        if (tree.read().get("null")?.type === "character")
          tree.edit([
            { op: "remove", path: "null" },
            { op: "write", path: "null", content: "" },
          ]);
      }
    },
  ),
  broken(
    "hard links are two files in the next layer",
    "storage/link-over-layers",
    class extends ReferenceStorage {
      override async commit(call: Call, name: SnapshotName, key: ActiveKey): Promise<void> {
        const { tree } = this.get(key);
        await super.commit(call, name, key);
        const two = tree.read().get("d/two");
        if (two?.content != null)
          tree.edit([
            { op: "remove", path: "d/two" },
            { op: "write", path: "d/two", content: two.content },
          ]);
      }
    },
  ),
  broken(
    "two at once share what they are about to commit",
    "storage/thirty-two",
    class extends ReferenceStorage {
      #last: ActiveKey | null = null;
      override async prepare(
        call: Call,
        key: ActiveKey,
        parent: SnapshotName | null,
        options: PrepareOptions = {},
      ): Promise<readonly Mount[]> {
        const mounts = await super.prepare(call, key, parent, options);
        const other = this.#last;
        this.#last = key;
        if (other !== null && this.disk.get(other)?.kind === "active" && this.get(other).parent === parent)
          this.disk.set(key, { ...this.get(key), tree: this.get(other).tree });
        return mounts;
      }
    },
  ),
  broken(
    "views are writable",
    "storage/view-read-only",
    class extends ReferenceStorage {
      protected override mountsOf(key: SnapshotKey): readonly Mount[] {
        return super.mountsOf(key).map((mount) => ({ ...mount, options: [] }));
      }
    },
  ),
  broken(
    "the root directory's mode is lost in a child",
    "storage/root-metadata",
    class extends ReferenceStorage {
      protected override add(kind: "active" | "view", key: SnapshotKey, parent: SnapshotName | null): void {
        super.add(kind, key, parent);
        this.get(key).tree.edit([{ op: "chmod", path: ".", mode: 0o755 }]);
      }
    },
  ),
  broken(
    "prepare takes a key again and overwrites",
    "storage/key-taken",
    class extends ReferenceStorage {
      override async prepare(call: Call, key: ActiveKey, parent: SnapshotName | null, options?: PrepareOptions): Promise<readonly Mount[]> {
        if (this.disk.get(key)?.kind === "active") this.disk.delete(key);
        return super.prepare(call, key, parent, options);
      }
    },
  ),
  broken(
    "remove of what is not there is silent",
    "storage/key-unknown",
    class extends ReferenceStorage {
      override async remove(call: Call, key: SnapshotKey): Promise<void> {
        if (this.disk.has(key)) await super.remove(call, key);
      }
    },
  ),
  broken(
    "keys are not looked at",
    "storage/key-unsafe",
    class extends ReferenceStorage {
      protected override free(key: SnapshotKey): void {
        if (this.disk.has(key)) throw fail("AlreadyExists", `${key} exists already`);
      }
    },
  ),
  broken(
    "an active snapshot may be a parent",
    "storage/parent-committed",
    class extends ReferenceStorage {
      protected override add(kind: "active" | "view", key: SnapshotKey, parent: SnapshotName | null): void {
        const below = parent === null ? undefined : this.disk.get(parent);
        if (below === undefined || below.kind === "committed") {
          super.add(kind, key, parent);
        } else {
          this.free(key);
          this.disk.set(key, { kind, key, parent, createdAt: Date.now(), tree: below.tree.copy() });
        }
      }
    },
  ),
  broken(
    "commit keeps the active key",
    "storage/commit-active",
    class extends ReferenceStorage {
      override async commit(call: Call, name: SnapshotName, key: ActiveKey): Promise<void> {
        const snapshot = this.get(key);
        await super.commit(call, name, key);
        this.disk.set(key, snapshot);
      }
    },
  ),
  broken(
    "a parent is removed from under its children",
    "storage/remove-with-children",
    class extends ReferenceStorage {
      override async remove(_call: Call, key: SnapshotKey): Promise<void> {
        this.get(key);
        this.disk.delete(key);
      }
    },
  ),
  broken(
    "remove looks, waits, then removes",
    "storage/race",
    class extends ReferenceStorage {
      override async remove(_call: Call, key: SnapshotKey): Promise<void> {
        this.get(key);
        if ([...this.disk.values()].some(({ parent }) => parent === key)) throw fail("FailedPrecondition", `${key} has children`);
        await new Promise((done) => setImmediate(done));
        this.disk.delete(key);
      }
    },
  ),
  broken(
    "a key that was removed comes back with its tree",
    "storage/remove-once",
    class extends ReferenceStorage {
      readonly #graves = new Map<SnapshotKey, MemorySnapshot>();
      override async remove(call: Call, key: SnapshotKey): Promise<void> {
        const snapshot = this.get(key);
        await super.remove(call, key);
        this.#graves.set(key, snapshot);
      }
      protected override add(kind: "active" | "view", key: SnapshotKey, parent: SnapshotName | null): void {
        super.add(kind, key, parent);
        const grave = this.#graves.get(key);
        if (grave !== undefined) this.disk.set(key, { ...this.get(key), tree: grave.tree });
      }
    },
  ),
  broken(
    "a refused prepare leaves a snapshot behind",
    "storage/refused-changes-nothing",
    class extends ReferenceStorage {
      override async prepare(call: Call, key: ActiveKey, parent: SnapshotName | null, options?: PrepareOptions): Promise<readonly Mount[]> {
        if (parent !== null && !this.disk.has(parent)) await super.prepare(call, key, null, options);
        return super.prepare(call, parent !== null && !this.disk.has(parent) ? (`${key}-again` as ActiveKey) : key, parent, options);
      }
    },
  ),
  broken(
    "list says a snapshot twice",
    "storage/list-and-stat",
    class extends ReferenceStorage {
      override async list(): Promise<AsyncIterable<Snapshot>> {
        const all = [...this.disk.values()].map(snapshotOf);
        return streamOf([...all, ...all.slice(0, 1)]);
      }
    },
  ),
  broken(
    "active snapshots are lost in a crash",
    "storage/crash-keeps",
    class extends ReferenceStorage {
      constructor(disk: MemoryDisk) {
        super(disk);
        for (const [key, { kind }] of disk) if (kind === "active") disk.delete(key);
      }
    },
  ),
  broken(
    "a volatile commit is only said to be done",
    "storage/volatile-commit",
    class extends ReferenceStorage {
      override async commit(call: Call, name: SnapshotName, key: ActiveKey, options: CommitOptions = {}): Promise<void> {
        if (options.volatile !== true) return super.commit(call, name, key, options);
        await super.remove(call, key);
        await super.prepare(call, key, null);
        await super.commit(call, name, key);
      }
    },
  ),
  broken(
    "usage is always the same",
    "storage/usage",
    class extends ReferenceStorage {
      override async usage(_call: Call, key: SnapshotKey): Promise<Usage> {
        this.get(key);
        return { bytes: 4096, inodes: 1 };
      }
    },
  ),
  broken("a quota is ignored in silence", "storage/quota-refused", QuotaIgnored),
  broken(
    "a quota is taken, and nothing is limited",
    "storage/quota",
    class extends QuotaIgnored {
      override readonly powers: readonly (keyof StoragePowers)[] = ["quota"];
    },
  ),
  broken(
    "a power is claimed that is not there",
    "storage/reclaim",
    class extends ReferenceStorage {
      override readonly powers: readonly (keyof StoragePowers)[] = ["reclaim"];
    },
  ),
  broken(
    "what is settled begins anew",
    "storage/settle",
    class extends ReferenceStorage implements Settles {
      override readonly powers: readonly (keyof StoragePowers)[] = ["settle"];
      async settle(call: Call, key: SnapshotKey): Promise<void> {
        const { kind, parent } = this.get(key);
        if (kind !== "active") return;
        await this.remove(call, key);
        await this.prepare(call, key as ActiveKey, parent);
      }
    },
  ),
  broken(
    "errors are not the kernel's",
    "storage/key-unknown",
    class extends ReferenceStorage {
      override async mounts(call: Call, key: ActiveKey | ViewKey): Promise<readonly Mount[]> {
        if (!this.disk.has(key)) throw new Error("ENOENT");
        return super.mounts(call, key);
      }
    },
  ),
  broken(
    "closing what is closed is an error",
    "storage/close-twice",
    class extends ReferenceStorage {
      #closed = false;
      override async close(): Promise<void> {
        if (this.#closed) throw fail("FailedPrecondition", "it is closed");
        this.#closed = true;
      }
    },
  ),
  broken(
    "closing forgets what is active",
    "storage/close-twice",
    class extends ReferenceStorage {
      override async close(): Promise<void> {
        for (const [key, { kind }] of this.disk) if (kind === "active") this.disk.delete(key);
      }
    },
  ),
  broken(
    "a tree is kept three hundred levels deep",
    "storage/deep-tree",
    class extends ReferenceStorage {
      override async commit(call: Call, name: SnapshotName, key: ActiveKey): Promise<void> {
        const { tree } = this.get(key);
        await super.commit(call, name, key);
        const deeper = [...tree.read().keys()].find((path) => path.split("/").length > 300);
        if (deeper !== undefined) tree.edit([{ op: "remove", path: deeper }]);
      }
    },
  ),
  broken(
    "a hundred layers are the limit",
    "storage/layer-limit",
    class extends ReferenceStorage {
      protected override add(kind: "active" | "view", key: SnapshotKey, parent: SnapshotName | null): void {
        if (depthOf(this.disk, parent) >= 100) throw fail("FailedPrecondition", "a hundred layers at most");
        super.add(kind, key, parent);
      }
    },
  ),
  broken(
    "beyond its limit a layer can be made, and not be shown",
    "storage/layer-limit",
    class extends ReferenceStorage {
      override async view(call: Call, key: ViewKey, parent: SnapshotName | null): Promise<readonly Mount[]> {
        if (depthOf(this.disk, parent) > 200) throw fail("FailedPrecondition", "two hundred layers at most");
        return super.view(call, key, parent);
      }
    },
  ),
  broken(
    "a parent's usage counts its children",
    "storage/usage-child",
    class extends ReferenceStorage {
      override async usage(call: Call, key: SnapshotKey): Promise<Usage> {
        const own = await super.usage(call, key);
        const children = [...this.disk.values()].filter(({ parent }) => parent === key);
        return { ...own, bytes: children.reduce((sum, { tree }) => sum + tree.bytes, own.bytes) };
      }
    },
  ),
  broken(
    "a device is left of each snapshot that was mounted",
    "storage/nothing-left",
    class extends ReferenceStorage {
      protected override mountsOf(key: SnapshotKey): readonly Mount[] {
        this.disk.devices.add(`loop of ${key}`);
        return super.mountsOf(key);
      }
    },
  ),
  broken(
    "a removed snapshot is hidden, and never freed",
    "storage/nothing-left",
    class extends ReferenceStorage {
      #removed = 0;
      override async remove(call: Call, key: SnapshotKey): Promise<void> {
        const snapshot = this.get(key);
        await super.remove(call, key);
        this.#removed += 1;
        this.disk.set(`/removed-${this.#removed}`, { ...snapshot, parent: null });
      }
      override async list(): Promise<AsyncIterable<Snapshot>> {
        return streamOf([...this.disk].filter(([key]) => !key.startsWith("/")).map(([, snapshot]) => snapshotOf(snapshot)));
      }
    },
  ),
  broken(
    "a subvolume is left of each layer that was removed",
    "storage/nothing-left",
    class extends ReferenceStorage {
      override async remove(call: Call, key: SnapshotKey): Promise<void> {
        await super.remove(call, key);
        this.disk.devices.add(`subvolume ${key}`);
      }
    },
  ),
  broken(
    "an active snapshot shows the tree of a view that had its key before",
    "storage/sequences",
    class extends ReferenceStorage {
      readonly #views = new Map<SnapshotKey, MemoryTree>();
      override async remove(call: Call, key: SnapshotKey): Promise<void> {
        const { kind, tree } = this.get(key);
        await super.remove(call, key);
        if (kind === "view") this.#views.set(key, tree);
      }
      protected override add(kind: "active" | "view", key: SnapshotKey, parent: SnapshotName | null): void {
        super.add(kind, key, parent);
        const tree = this.#views.get(key);
        if (kind === "active" && tree !== undefined) this.disk.set(key, { ...this.get(key), tree });
      }
    },
  ),
  broken(
    "a committed name can be removed once its only child was committed",
    "storage/sequences",
    class extends ReferenceStorage {
      override async commit(call: Call, name: SnapshotName, key: ActiveKey, options?: CommitOptions): Promise<void> {
        await super.commit(call, name, key, options);
        const snapshot = this.get(name);
        const siblings = [...this.disk.values()].filter(({ parent }) => parent === snapshot.parent).length;
        if (depthOf(this.disk, name) === 3 && siblings === 1) this.disk.set(name, { ...snapshot, parent: null });
      }
    },
  ),
  broken(
    "on a full disk a refused prepare leaves its key",
    "storage/full-in-prepare",
    class extends ReferenceStorage {
      protected override add(kind: "active" | "view", key: SnapshotKey, parent: SnapshotName | null): void {
        if (this.disk.full && kind === "active") this.disk.set(key, { kind, key, parent, createdAt: Date.now(), tree: new MemoryTree() });
        if (this.disk.full) throw fail("ResourceExhausted", "no space left");
        super.add(kind, key, parent);
      }
    },
  ),
  broken(
    "on a full disk the error of a view is the system's own",
    "storage/full-in-view",
    class extends ReferenceStorage {
      protected override add(kind: "active" | "view", key: SnapshotKey, parent: SnapshotName | null): void {
        if (this.disk.full && kind === "view") throw new Error("ENOSPC: no space left on device");
        super.add(kind, key, parent);
      }
    },
  ),
  broken(
    "a commit that finds a full disk has lost the tree",
    "storage/full-in-commit",
    class extends ReferenceStorage {
      override async commit(call: Call, name: SnapshotName, key: ActiveKey, options?: CommitOptions): Promise<void> {
        if (this.disk.full) {
          this.disk.set(key, { ...this.get(key), tree: new MemoryTree() });
          throw fail("ResourceExhausted", "no space left");
        }
        await super.commit(call, name, key, options);
      }
    },
  ),
  broken(
    "on a full disk nothing can be removed",
    "storage/full-in-remove",
    class extends ReferenceStorage {
      override async remove(call: Call, key: SnapshotKey): Promise<void> {
        if (this.disk.full) throw fail("ResourceExhausted", "no space left");
        await super.remove(call, key);
      }
    },
  ),
  broken(
    "on a full disk what is there can't be looked at any more",
    "storage/full-in-mounts",
    class extends ReferenceStorage {
      #failed = false;
      override async mounts(call: Call, key: ActiveKey | ViewKey, options?: MountsOptions): Promise<readonly Mount[]> {
        this.#failed ||= this.disk.full;
        if (this.#failed) throw fail("Unavailable", "no journal");
        return super.mounts(call, key, options);
      }
    },
  ),
  broken(
    "a settle that finds a full disk has removed what it could not settle",
    "storage/full-in-settle",
    class extends ReferenceStorage implements Settles {
      override readonly powers: readonly (keyof StoragePowers)[] = ["settle"];
      async settle(_call: Call, key: SnapshotKey): Promise<void> {
        if (!this.disk.full) return;
        this.disk.delete(key);
        throw fail("ResourceExhausted", "no space left");
      }
    },
  ),
  broken(
    "a canceled prepare leaves its snapshot",
    "storage/canceled-prepare",
    class extends ReferenceStorage {
      override async prepare(call: Call, key: ActiveKey, parent: SnapshotName | null, options?: PrepareOptions): Promise<readonly Mount[]> {
        const mounts = await super.prepare(call, key, parent, options);
        call.signal.throwIfAborted();
        return mounts;
      }
    },
  ),
  broken(
    "a canceled view is empty",
    "storage/canceled-view",
    class extends ReferenceStorage {
      override async view(call: Call, key: ViewKey, parent: SnapshotName | null): Promise<readonly Mount[]> {
        return super.view(call, key, call.signal.aborted ? null : parent);
      }
    },
  ),
  broken(
    "the error of a canceled mounts is not ours",
    "storage/canceled-mounts",
    class extends ReferenceStorage {
      override async mounts(call: Call, key: ActiveKey | ViewKey, options?: MountsOptions): Promise<readonly Mount[]> {
        if (call.signal.aborted) throw new DOMException("This operation was aborted", "AbortError");
        return super.mounts(call, key, options);
      }
    },
  ),
  broken(
    "a canceled commit has taken the key and made no name",
    "storage/canceled-commit",
    class extends ReferenceStorage {
      override async commit(call: Call, name: SnapshotName, key: ActiveKey, options?: CommitOptions): Promise<void> {
        if (call.signal.aborted) this.disk.delete(key);
        call.signal.throwIfAborted();
        return super.commit(call, name, key, options);
      }
    },
  ),
  broken(
    "a canceled remove is said to be done",
    "storage/canceled-remove",
    class extends ReferenceStorage {
      override async remove(call: Call, key: SnapshotKey): Promise<void> {
        if (!call.signal.aborted) await super.remove(call, key);
      }
    },
  ),
  broken(
    "a canceled stat never answers",
    "storage/canceled-stat",
    class extends ReferenceStorage {
      override async stat(call: Call, key: SnapshotKey): Promise<Snapshot> {
        if (call.signal.aborted) await new Promise(() => {});
        return super.stat(call, key);
      }
    },
  ),
  broken(
    "a canceled usage is an error of another kind",
    "storage/canceled-usage",
    class extends ReferenceStorage {
      override async usage(call: Call, key: SnapshotKey): Promise<Usage> {
        if (call.signal.aborted) throw fail("Internal", "stopped");
        return super.usage(call, key);
      }
    },
  ),
  broken(
    "a canceled list takes what it has not listed for removed",
    "storage/canceled-list",
    class extends ReferenceStorage {
      override async list(call: Call): Promise<AsyncIterable<Snapshot>> {
        const found = await super.list(call);
        if (!call.signal.aborted) return found;
        this.disk.clear();
        throw call.signal.reason;
      }
    },
  ),
  broken(
    "a canceled reclaim is an error of another kind",
    "storage/canceled-reclaim",
    class extends ReferenceStorage implements Reclaims {
      override readonly powers: readonly (keyof StoragePowers)[] = ["reclaim"];
      async reclaim(call: Call): Promise<{ readonly bytes: number }> {
        if (call.signal.aborted) throw fail("Unavailable", "stopped");
        return { bytes: 0 };
      }
    },
  ),
  broken(
    "a canceled settle loses what was written",
    "storage/canceled-settle",
    class extends ReferenceStorage implements Settles {
      override readonly powers: readonly (keyof StoragePowers)[] = ["settle"];
      async settle(call: Call, key: SnapshotKey): Promise<void> {
        if (!call.signal.aborted) return;
        const { tree } = this.get(key);
        tree.edit([...tree.read().keys()].filter((path) => path !== "." && !path.includes("/")).map((path) => ({ op: "remove", path })));
        throw call.signal.reason;
      }
    },
  ),
  broken(
    "what is released can't be mounted again",
    "storage/released",
    class extends ReferenceStorage implements Releases {
      override readonly powers: readonly (keyof StoragePowers)[] = ["release"];
      async released(_call: Call, key: ActiveKey | ViewKey): Promise<void> {
        this.get(key);
        this.disk.delete(key);
      }
    },
  ),
];

/** How many snapshots stand on each other up to this one. */
function depthOf(disk: MemoryDisk, name: SnapshotName | null): number {
  return name === null ? 0 : 1 + depthOf(disk, disk.get(name)?.parent ?? null);
}
