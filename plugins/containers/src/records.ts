/**
 * The records of all containers, in memory. The state service holds the durable ones. On tmpfs, a container's directory holds
 * `record.json`, its whole current record, which takes precedence over the durable one. After a power cut tmpfs is empty, so nothing runs.
 * Containers with `--rm` have no durable record.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Call, type Container, type ContainerId, fail, type StateService } from "@tsbox/kernel";
import { checkName, inventName } from "./names.ts";
import { mayBeUnanswered } from "./settling.ts";
import type { Unwritten } from "./unwritten.ts";
import { upgraded } from "./upgrade.ts";

export class Records {
  readonly #state: StateService;
  readonly #directory: string;
  readonly #unwritten: Unwritten;
  readonly #byId: Map<ContainerId, Container> = new Map();
  readonly #names: Map<string, ContainerId> = new Map();

  /** `directory`: on tmpfs, one subdirectory per container. */
  constructor(state: StateService, directory: string, unwritten: Unwritten) {
    this.#state = state;
    this.#unwritten = unwritten;
    this.#directory = directory;
  }

  /**
   * Loads all records. Returns the containers without a record on tmpfs, because the host was restarted (`lost`), and those of which
   * an earlier daemon died before their record was on disk (`unkept`). A removed container does not run.
   */
  async load(call: Call): Promise<{ readonly lost: readonly ContainerId[]; readonly unkept: readonly Container[] }> {
    const lost = new Set<ContainerId>();
    const unkept: Container[] = [];
    for (const [, value] of await this.#state.list(call, "containers")) {
      // A durable record never proves that the container runs: there may have been a power cut since.
      const record = this.#asHeard(upgraded(value as Container));
      lost.add(record.id);
      const ran = record.status !== "created" && record.status !== "exited";
      const exit = ran ? { code: 255, signal: null, outOfMemory: false, at: Date.now() } : record.exit;
      this.#keep({ ...record, status: record.status === "created" ? "created" : "exited", pid: null, exit, endpoints: [], idMaps: null });
    }
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    for (const id of readdirSync(this.#directory)) {
      const record = readRecord(join(this.#directory, id));
      if (record === null) continue;
      const isKept = record.config.autoRemove || this.#byId.has(record.id);
      if (!isKept && record.status !== "running" && record.status !== "paused") continue;
      // A migration of its storage died between the two writes: they must agree before the container writes to its layer.
      const moved = isKept && !record.config.autoRemove && this.byId(record.id).drivers.storage !== record.drivers.storage;
      if (!isKept || moved) unkept.push(record);
      lost.delete(record.id);
      this.#keep(record);
    }
    return { lost: [...lost], unkept };
  }

  /** Whether an older copy of the durable records was put back: objects that these records don't mention may still be in use. */
  isRestored(call: Call): Promise<boolean> {
    return this.#state.isRestored(call);
  }

  directory(id: ContainerId): string {
    return join(this.#directory, id);
  }

  /** Creates the directory if it is missing: a restart of the host removes it, while the container stays. */
  makeDirectory(id: ContainerId): string {
    const directory = this.directory(id);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    return directory;
  }

  /** Names of directories on tmpfs without a record. */
  strangers(): readonly string[] {
    return readdirSync(this.#directory).filter((name) => !this.#byId.has(name as ContainerId));
  }

  all(): readonly Container[] {
    return [...this.#byId.values()].sort((a, b) => b.createdAt - a.createdAt);
  }

  /** Reserves a name (null: invents one) for `id` until `release`. */
  reserve(name: string | null, id: ContainerId): string {
    const chosen = name === null || name === "" ? inventName((candidate) => this.#names.has(candidate)) : checkName(name);
    const holder = this.#names.get(chosen);
    if (holder !== undefined && holder !== id)
      throw fail(
        "AlreadyExists",
        `Conflict. The container name "/${chosen}" is already in use by container "${holder}". You have to remove (or rename) that container to be able to reuse that name.`,
      );
    this.#names.set(chosen, id);
    return chosen;
  }

  release(name: string): void {
    this.#names.delete(name);
  }

  has(id: ContainerId): boolean {
    return this.#byId.has(id);
  }

  isRunning(id: ContainerId): boolean {
    return this.#byId.get(id)?.status === "running";
  }

  /** By id, for callers that already have one: the container may have been removed meanwhile. */
  byId(id: ContainerId): Container {
    const record = this.#byId.get(id);
    if (record === undefined) throw fail("NotFound", `No such container: ${id}`);
    return record;
  }

  /** By id or name; null: there is none. */
  look(reference: string): Container | null {
    return this.#byId.get(reference as ContainerId) ?? this.#byId.get(this.#names.get(reference) as ContainerId) ?? null;
  }

  /** By id, name, or prefix of an id. */
  find(reference: string): Container {
    const exact = this.#byId.get(reference as ContainerId) ?? this.#byId.get(this.#names.get(reference.replace(/^\//, "")) as ContainerId);
    if (exact) return exact;
    const matches = /^[0-9a-f]+$/.test(reference) ? [...this.#byId.values()].filter((record) => record.id.startsWith(reference)) : [];
    const [found, other] = matches;
    if (other) throw fail("InvalidArgument", `multiple IDs found with provided prefix: ${reference}; give more of it`);
    if (found === undefined) throw fail("NotFound", `No such container: ${reference}`);
    return found;
  }

  /** Records a change that outlives a power cut, unless the container has `--rm`. */
  async save(call: Call, record: Container): Promise<Container> {
    this.note(record);
    await this.keep(call, record);
    return record;
  }

  /** The durable half of `save`: only a daemon that starts after a power cut reads it. */
  async keep(call: Call, record: Container): Promise<void> {
    this.#unwritten.forget(onDisk(record));
    if (!record.config.autoRemove) await this.#state.write(call, [{ table: "containers", key: record.id, value: record }]);
  }

  /** Like `keep`, but a full disk delays the write instead of failing it. `call` outlives the request. */
  async keepSoon(call: Call, record: Container): Promise<void> {
    try {
      await this.keep(call, record);
    } catch (error) {
      // Removed meanwhile: nothing is to be written.
      if (this.#byId.has(record.id)) this.#unwritten.add(onDisk(record), () => this.keep(call, record), error);
    }
  }

  /** Removes the durable record of a container that was kept and never noted. */
  async drop(call: Call, record: Container): Promise<void> {
    this.#unwritten.forget(onDisk(record));
    if (!record.config.autoRemove) await this.#state.write(call, [{ table: "containers", key: record.id, value: null }]);
  }

  /**
   * Records a change in memory and on tmpfs: it survives the daemon, not the host. It counts at once, even if the state directory is full.
   */
  note(record: Container): Container {
    this.#keep(record);
    this.#unwritten.forget(onTmpfs(record));
    try {
      this.#write(record);
    } catch (error) {
      this.#unwritten.add(onTmpfs(record), () => this.#write(record), error);
    }
    return record;
  }

  /** Whether the last note is on tmpfs, so that the next daemon would find it. */
  isNoted(id: ContainerId): boolean {
    return !this.#unwritten.has(onTmpfs({ id }));
  }

  /** Removes the record; the container is no longer visible. `discard` removes the files. */
  async remove(call: Call, record: Container): Promise<void> {
    this.#byId.delete(record.id);
    this.#names.delete(record.name);
    this.#unwritten.forget(onTmpfs(record));
    try {
      await this.drop(call, record);
    } catch (error) {
      // Still on disk, so it can be removed again.
      this.#keep(record);
      throw error;
    }
  }

  discard(id: ContainerId): void {
    rmSync(this.directory(id), { recursive: true, force: true });
  }

  #write(record: Container): void {
    const path = join(this.makeDirectory(record.id), "record.json");
    writeFileSync(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  /**
   * The durable record says "started" before the start. If the daemon died in between and the host did not, the container's directory
   * exists on tmpfs without a record that takes precedence. The container then counts as created.
   */
  #asHeard(record: Container): Container {
    return mayBeUnanswered(record) && existsSync(this.directory(record.id)) ? { ...record, status: "created", startedAt: null } : record;
  }

  #keep(record: Container): void {
    const before = this.#byId.get(record.id);
    if (before && before.name !== record.name) this.#names.delete(before.name);
    this.#byId.set(record.id, record);
    this.#names.set(record.name, record.id);
  }
}

const onDisk = ({ id }: Pick<Container, "id">): string => `disk/${id}`;
const onTmpfs = ({ id }: Pick<Container, "id">): string => `tmpfs/${id}`;

function readRecord(directory: string): Container | null {
  try {
    return upgraded(JSON.parse(readFileSync(join(directory, "record.json"), "utf8")) as Container);
  } catch {
    // The daemon died before the first record: the sweep removes the directory.
    return null;
  }
}
