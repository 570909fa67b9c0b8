/**
 * Snapshots as directories, for drivers that store them so: parents, kinds, and the recovery after a crash.
 *
 *     <directory>/active/<key>/      snapshot.json, and the driver's own files and directories
 *     <directory>/view/<key>/
 *     <directory>/committed/<name>/
 *     <directory>/making/<number>/   unfinished, or made ahead; removed at the next start
 *     <directory>/removed/<number>/  removed, but not yet deleted
 *
 * The folder tells the kind, so that each step is one rename(2): a snapshot exists as a whole or not at all, and a crash in `commit` leaves
 * a tree under its key or under its name. While the engine runs, the index in memory counts. There is no await between a look at the index
 * and its change, so that of two verbs that exclude each other one is refused.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { open, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Call } from "../contract/call.ts";
import type { HostToolkit } from "../contract/host.ts";
import type { Snapshot, SnapshotKey, SnapshotName } from "../contract/storage.ts";
import { fail, isTsboxError } from "../errors/index.ts";
import { parseSnapshotName } from "../words.ts";

export type SnapshotKind = Snapshot["kind"];

export interface StoredSnapshot {
  readonly kind: SnapshotKind;
  readonly key: string;
  readonly parent: SnapshotName | null;
  readonly createdAt: number;
  /** The snapshot's own directory. */
  readonly directory: string;
  /** The directory of the host that was adopted, which the engine does not own. Null: the tree is in `directory`. */
  readonly source: string | null;
  /** Writes to it never need to reach the disk. */
  readonly discarded: boolean;
}
interface Entry extends StoredSnapshot {
  /**
   * The boot id of the host, while a power cut may still damage the tree; after another boot the snapshot is discarded. Null: the tree is
   * on disk.
   */
  boot: string | null;
  children: number;
  /** False while it is being made: no other verb may see it yet. */
  ready: boolean;
}
/** The contents of `snapshot.json`. */
interface SnapshotRecord {
  readonly parent: SnapshotName | null;
  readonly createdAt: number;
  readonly source: string | null;
  readonly boot: string | null;
  readonly discarded?: boolean;
}
export interface CreateOptions {
  readonly source?: string | null;
  /**
   * The record and the snapshot's parents are on disk before the snapshot exists, so that a power cut can't leave a tree without a record.
   * An active snapshot that is not durable is lost in a power cut.
   */
  readonly durable: boolean;
  /** Writes to it never need to reach the disk. Only for a snapshot that is not durable. */
  readonly discarded?: boolean | undefined;
  /** The quota of the snapshot. Only with `quotas`. */
  readonly quotaBytes?: number | undefined;
}
export interface StoreCommitOptions {
  readonly parent?: SnapshotName | undefined;
  /** The snapshot goes to disk after the answer. Until then, a power cut removes all of it. */
  readonly volatile?: boolean | undefined;
}
export interface StoreOptions {
  readonly directory: string;
  readonly host: Pick<HostToolkit, "removeTree" | "usage" | "sync" | "limitTree" | "unlimitTree">;
  /** Makes the calls for deletions in the background. */
  readonly makeCall: () => Call;
  /**
   * The directories that every active snapshot of this driver has. If it is given, some snapshots are made ahead in idle time: creating an
   * inode costs 0.1 ms on a busy ext4, renaming one a fifth of that.
   */
  readonly skeleton?: readonly { readonly name: string; readonly mode: number }[];
  /** Whether `HostToolkit.canLimit` holds for `directory`. */
  readonly quotas?: boolean;
  /** The driver's last work on the tree of a snapshot, before it goes to disk. If this fails, the snapshot stays active. */
  readonly beforeCommit?: (call: Call, snapshot: StoredSnapshot) => Promise<void>;
  /** The boot id of the host. Default: the kernel's; tests set their own. */
  readonly boot?: string;
}

const recordName = "snapshot.json";
const kinds: readonly SnapshotKind[] = ["active", "view", "committed"];
/** Milliseconds before a removed tree is deleted: the client that waits for its container's end is served first. */
const reclaimDelay = 1_000;
/** The number of snapshots that are made ahead, and the milliseconds between two of them. */
const readyCount = 8;
const readyDelay = 20;

export class SnapshotStore {
  readonly #options: StoreOptions;
  readonly #entries = new Map<string, Entry>();
  /** Paths of active snapshots made ahead. */
  readonly #ready: string[] = [];
  /** The next name in `making` and `removed`. It starts at the clock's time, so that names of earlier engines are not used again. */
  #number: number = Date.now();
  #readyTimer: NodeJS.Timeout | undefined;
  #reclaimTimer: NodeJS.Timeout | undefined;
  #reclaiming: Promise<number> = Promise.resolve(0);
  /** Snapshots that are being written to disk. */
  readonly #settling = new Map<Entry, Promise<void>>();
  readonly #boot: string;
  #closed = false;

  constructor(options: StoreOptions) {
    this.#options = options;
    this.#boot = options.boot ?? readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    for (const folder of [...kinds, "making", "removed"]) mkdirSync(join(options.directory, folder), { recursive: true, mode: 0o700 });
    // An earlier store may have used numbers beyond the clock's time.
    for (const folder of ["making", "removed"])
      for (const name of readdirSync(join(options.directory, folder))) this.#number = Math.max(this.#number, Number(name) + 1 || 0);
    for (const name of readdirSync(join(options.directory, "making"))) this.#discard(join(options.directory, "making", name));
    for (const kind of kinds) this.#readFolder(kind);
    for (const entry of this.#entries.values()) {
      const parent = entry.parent === null ? undefined : this.#entries.get(entry.parent);
      if (parent !== undefined) parent.children++;
    }
    this.#reclaimSoon();
    this.#makeReadySoon();
    // Snapshots of a daemon that died before they were on disk.
    for (const entry of this.#entries.values()) if (entry.kind === "committed" && entry.boot !== null) this.#settleSoon(entry);
  }

  /**
   * Makes a snapshot. `fill` writes the tree into its directory, which has the skeleton already. If `fill` throws, or the engine dies
   * meanwhile, nothing of the snapshot remains.
   */
  async create(
    kind: SnapshotKind,
    key: SnapshotKey,
    parent: SnapshotName | null,
    options: CreateOptions,
    fill: (directory: string) => unknown,
  ): Promise<StoredSnapshot> {
    parseSnapshotName(key);
    if (this.#entries.has(key)) throw fail("AlreadyExists", `a snapshot ${key} exists already`);
    const below = parent === null ? undefined : this.#committed(parent);
    const directory = join(this.#options.directory, kind, key);
    const entry: Entry = {
      kind,
      key,
      parent,
      createdAt: Date.now(),
      directory,
      source: options.source ?? null,
      boot: kind === "active" && !options.durable ? this.#boot : null,
      discarded: kind === "active" && !options.durable && options.discarded === true,
      children: 0,
      ready: false,
    };
    this.#entries.set(key, entry);
    if (below !== undefined) below.children++;
    const ahead = kind === "active" ? this.#ready.pop() : undefined;
    const making = ahead ?? this.#newPath("making");
    try {
      if (ahead === undefined) this.#make(making, kind);
      if (options.quotaBytes !== undefined) await this.#limit(making, options.quotaBytes);
      const filling = fill(making);
      if (filling instanceof Promise) await filling;
      // A view may belong to a container that lives long, so what is below it has to be durable.
      if (below !== undefined && (options.durable || kind === "view")) await this.#settle(this.#options.makeCall(), below);
      if (options.durable) await writeFile(join(making, recordName), recordOf(entry), { flush: true });
      else writeFileSync(join(making, recordName), recordOf(entry));
      renameSync(making, directory);
      if (options.durable) await this.#syncFolders(kind);
    } catch (error) {
      this.#entries.delete(key);
      if (below !== undefined) below.children--;
      for (const path of [making, directory]) this.#discard(path);
      throw error;
    }
    entry.ready = true;
    if (kind === "active") this.#makeReadySoon();
    return entry;
  }

  /** When this answers, everything that was written to the tree survives a power cut, unless it is volatile. */
  async commit(call: Call, name: SnapshotName, key: SnapshotKey, options: StoreCommitOptions = {}): Promise<void> {
    parseSnapshotName(name);
    // Its record may be on its way to disk.
    await this.#settling.get(this.#entry(key));
    const active = this.#entry(key);
    if (active.kind !== "active")
      throw fail("FailedPrecondition", `${key} is ${article(active.kind)}: only an active snapshot can be committed`);
    if (this.#entries.has(name)) throw fail("AlreadyExists", `a snapshot ${name} exists already`);
    const rebased = options.parent !== undefined && options.parent !== active.parent ? options.parent : null;
    if (rebased !== null && active.parent !== null)
      throw fail("FailedPrecondition", `${key} was prepared on ${active.parent}: only one without a parent can be put on another`);
    const below = rebased === null ? undefined : this.#committed(rebased);
    // Only a snapshot that was marked as not durable from its beginning can be recognized as damaged after a power cut.
    const volatile = options.volatile === true && active.boot !== null;
    const entry: Entry = {
      ...active,
      kind: "committed",
      key: name,
      parent: rebased ?? active.parent,
      directory: join(this.#options.directory, "committed", name),
      boot: volatile ? active.boot : null,
      discarded: false,
      children: 0,
      ready: false,
    };
    this.#entries.set(name, entry);
    if (below !== undefined) below.children++;
    try {
      await this.#options.beforeCommit?.(call, active);
      if (!volatile) {
        if (entry.parent !== null) await this.#settle(call, this.#committed(entry.parent));
        await this.#options.host.sync(call, active.directory);
      }
      if (rebased !== null || (active.boot !== null && !volatile)) await replaceDurably(active.directory, recordOf(entry));
      if (this.#options.quotas) await this.#options.host.unlimitTree(call, active.directory);
      call.signal.throwIfAborted();
      renameSync(active.directory, entry.directory);
    } catch (error) {
      this.#entries.delete(name);
      if (below !== undefined) below.children--;
      throw error;
    }
    this.#entries.delete(key);
    entry.ready = true;
    if (volatile) this.#settleSoon(entry);
    else await this.#syncFolders("active", "committed");
  }

  /**
   * Makes a volatile snapshot durable, with all snapshots below it: for an active snapshot its record, for a committed one its tree. It
   * survives a power cut when this answers.
   */
  async settle(call: Call, key: SnapshotKey): Promise<void> {
    await this.#settle(call, this.#entry(key));
  }

  async #settle(call: Call, entry: Entry): Promise<void> {
    for (const one of [...this.#unsettled(entry)].reverse()) {
      const settling = this.#settling.get(one) ?? this.#toDisk(call, one).finally(() => this.#settling.delete(one));
      this.#settling.set(one, settling);
      await settling;
    }
  }

  #unsettled(entry: Entry): readonly Entry[] {
    const found: Entry[] = [];
    for (let at: Entry | undefined = entry; at !== undefined; at = at.parent === null ? undefined : this.#entries.get(at.parent))
      if (at.boot !== null) found.push(at);
    return found;
  }

  async #toDisk(call: Call, entry: Entry): Promise<void> {
    if (entry.kind === "committed") await this.#options.host.sync(call, entry.directory);
    // A snapshot that was removed meanwhile may have a successor of the same name, which is not on disk.
    const isGone = (): boolean => this.#entries.get(entry.key) !== entry;
    if (isGone()) return;
    const record = join(entry.directory, recordName);
    await writeFile(`${record}.settled`, recordOf({ ...entry, boot: null }), { flush: true });
    if (isGone()) return;
    renameSync(`${record}.settled`, record);
    entry.boot = null;
    await syncPath(entry.directory);
    await (entry.kind === "active" ? this.#syncFolders("active") : this.#syncFolders("active", "committed"));
  }

  /** Settles in the background. After an error, the next verb that needs it tries again, or the next store. */
  #settleSoon(entry: Entry): void {
    const call = this.#options.makeCall();
    this.#settle(call, entry).catch((error: unknown) => {
      // If the snapshot was removed meanwhile, the error does not matter.
      if (this.#entries.get(entry.key) === entry) call.log.warn(`${entry.key} is not on disk yet: ${String(error)}`);
    });
  }

  /** Hides the snapshot at once. `reclaim` frees its space, or a timer does a moment later. */
  remove(key: SnapshotKey): void {
    const entry = this.#entry(key);
    if (entry.children > 0) throw fail("FailedPrecondition", `${key} has ${entry.children} snapshots on top of it; remove those first`);
    this.#discard(entry.directory);
    this.#entries.delete(key);
    const parent = entry.parent === null ? undefined : this.#entries.get(entry.parent);
    if (parent !== undefined) parent.children--;
  }

  get(key: SnapshotKey): StoredSnapshot {
    return this.#entry(key);
  }

  #entry(key: string): Entry {
    const entry = this.#entries.get(key);
    if (entry?.ready) return entry;
    throw fail("NotFound", `no snapshot ${key}`);
  }

  /** `name` and its ancestors, the topmost first. */
  chain(name: SnapshotName | null): readonly StoredSnapshot[] {
    const chain: StoredSnapshot[] = [];
    for (let at = name; at !== null; ) {
      const entry: StoredSnapshot = this.#committed(at);
      chain.push(entry);
      at = entry.parent;
    }
    return chain;
  }

  stat(key: SnapshotKey): Snapshot {
    return snapshotOf(this.get(key));
  }

  async *list(): AsyncGenerator<Snapshot, void, undefined> {
    for (const entry of [...this.#entries.values()]) if (entry.ready) yield snapshotOf(entry);
  }

  /** Frees the space of removed snapshots and answers its bytes. Only one runs at a time: a second caller waits for the first. */
  reclaim(call: Call, measure: boolean): Promise<number> {
    clearTimeout(this.#reclaimTimer);
    this.#reclaimTimer = undefined;
    const run = this.#reclaiming.catch(() => 0).then(() => this.#empty(call, measure));
    this.#reclaiming = run;
    return run;
  }

  /** Waits for a running deletion. The rest is deleted after the next start. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#reclaimTimer);
    clearTimeout(this.#readyTimer);
    await this.#reclaiming.catch(() => 0);
    await Promise.allSettled(this.#settling.values());
  }

  async #empty(call: Call, measure: boolean): Promise<number> {
    let bytes = 0;
    const errors: unknown[] = [];
    for (const name of readdirSync(join(this.#options.directory, "removed"))) {
      call.signal.throwIfAborted();
      const path = join(this.#options.directory, "removed", name);
      try {
        if (this.#options.quotas) await this.#options.host.unlimitTree(call, path);
        const before = measure ? (await this.#options.host.usage(call, path)).bytes : 0;
        await this.#options.host.removeTree(call, path);
        bytes += before;
      } catch (error) {
        // An engine that is about to die still deletes what the next one has found.
        if (isTsboxError(error) && error.code === "NotFound") continue;
        // One tree that can't be deleted holds up no other.
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
    return bytes;
  }

  #committed(name: SnapshotName): Entry {
    const entry = this.#entry(name);
    if (entry.kind !== "committed")
      throw fail("FailedPrecondition", `${name} is ${article(entry.kind)}: only a committed snapshot can be a parent`);
    return entry;
  }

  #discard(directory: string): void {
    try {
      renameSync(directory, this.#newPath("removed"));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
    this.#reclaimSoon();
  }

  #newPath(folder: "making" | "removed"): string {
    return join(this.#options.directory, folder, String(this.#number++));
  }

  #make(path: string, kind: SnapshotKind): void {
    mkdirSync(path, { mode: 0o700 });
    if (kind !== "active" || this.#options.skeleton === undefined) return;
    for (const { name, mode } of this.#options.skeleton) mkdirSync(join(path, name), { mode });
    writeFileSync(join(path, recordName), "");
  }

  /** Each directory gets the limit by itself, since those that were made ahead have none. */
  #limit(path: string, bytes: number): Promise<void> {
    const skeleton = this.#options.skeleton ?? [];
    return this.#options.host.limitTree(this.#options.makeCall(), [path, ...skeleton.map(({ name }) => join(path, name))], bytes);
  }

  /** One at a time, with a pause between two, so that no caller waits for more than one. */
  #makeReadySoon(): void {
    if (this.#options.skeleton === undefined || this.#ready.length >= readyCount || this.#closed) return;
    clearTimeout(this.#readyTimer);
    this.#readyTimer = setTimeout(() => {
      const path = this.#newPath("making");
      try {
        this.#make(path, "active");
        this.#ready.push(path);
        this.#makeReadySoon();
      } catch (error) {
        // The next `prepare` meets the same error, and reports it to its caller.
        this.#options.makeCall().log.warn(`no snapshot could be made ahead: ${String(error)}`);
      }
    }, readyDelay).unref();
  }

  #reclaimSoon(): void {
    if (this.#closed) return;
    this.#reclaimTimer ??= setTimeout(() => {
      const call = this.#options.makeCall();
      this.reclaim(call, false).catch((error: unknown) => {
        // The engine ends: what is left is deleted after its next start.
        if (!call.signal.aborted) call.log.warn(`removed snapshots could not be deleted: ${String(error)}`);
      });
    }, reclaimDelay).unref();
  }

  #readFolder(kind: SnapshotKind): void {
    for (const key of readdirSync(join(this.#options.directory, kind))) {
      const directory = join(this.#options.directory, kind, key);
      const record = readRecord(join(directory, recordName));
      // A record of an earlier boot: nothing shows that the tree reached the disk before the power cut.
      const lost = record !== null && record.boot !== null && record.boot !== this.#boot;
      if (record === null || lost) this.#discard(directory);
      else this.#entries.set(key, { kind, key, directory, ...record, children: 0, ready: true });
    }
  }

  async #syncFolders(...folders: readonly SnapshotKind[]): Promise<void> {
    for (const folder of folders) await syncPath(join(this.#options.directory, folder));
  }
}

function snapshotOf({ kind, key, parent, createdAt }: StoredSnapshot): Snapshot {
  return { kind, key, parent, createdAt } as Snapshot;
}

function article(kind: SnapshotKind): string {
  return kind === "active" ? "an active snapshot" : kind === "view" ? "a view" : "a committed snapshot";
}

function recordOf({ parent, createdAt, source, boot, discarded }: Entry): string {
  return JSON.stringify({ parent, createdAt, source, boot, ...(discarded ? { discarded } : {}) } satisfies SnapshotRecord);
}

/** Null: the record is missing or damaged, so the snapshot was never finished. */
function readRecord(path: string): Required<SnapshotRecord> | null {
  try {
    // Records of older stores have no `boot`: their committed snapshots were on disk.
    const { parent, createdAt, source, boot = null, discarded = false } = JSON.parse(readFileSync(path, "utf8")) as SnapshotRecord;
    return { parent, createdAt, source, boot, discarded };
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

async function replaceDurably(directory: string, text: string): Promise<void> {
  const path = join(directory, recordName);
  await writeFile(`${path}.new`, text, { flush: true });
  await rename(`${path}.new`, path);
  await syncPath(directory);
}

async function syncPath(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
