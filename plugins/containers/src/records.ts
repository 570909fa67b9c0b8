/**
 * All containers, in memory. What lasts is kept by the state service, what runs on tmpfs: a container's directory there holds
 * `record.json`, its whole record as of now, which counts before the durable one. After a power cut tmpfs is empty, so nothing runs; `--rm`
 * containers have no other record.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Call, type Container, type ContainerId, fail, type StateService } from "@tsbox/kernel";
import { checkName, inventName } from "./names.ts";
import { mayBeUnheard } from "./settling.ts";
import type { Unwritten } from "./unwritten.ts";
import { upgraded } from "./upgrade.ts";

export class Records {
  readonly #state: StateService;
  readonly #directory: string;
  readonly #unwritten: Unwritten;
  readonly #byId: Map<ContainerId, Container> = new Map();
  readonly #names: Map<string, ContainerId> = new Map();

  /** `directory`: on tmpfs, one folder a container. */
  constructor(state: StateService, directory: string, unwritten: Unwritten) {
    this.#state = state;
    this.#unwritten = unwritten;
    this.#directory = directory;
  }

  /**
   * Everything that is known. Answers those of which tmpfs knows nothing, since the host was restarted (`lost`), and those that run and
   * were not on disk yet when an earlier daemon died (`unkept`). What is removed does not run.
   */
  async load(call: Call): Promise<{ readonly lost: readonly ContainerId[]; readonly unkept: readonly Container[] }> {
    const lost = new Set<ContainerId>();
    const unkept: Container[] = [];
    for (const [, value] of await this.#state.list(call, "containers")) {
      // Nothing of a durable record says that it runs: a power cut may have come since.
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
      if (!isKept) unkept.push(record);
      lost.delete(record.id);
      this.#keep(record);
    }
    return { lost: [...lost], unkept };
  }

  /** An older copy of the durable records was put back: what they don't know may still be somebody's. */
  isRestored(call: Call): Promise<boolean> {
    return this.#state.isRestored(call);
  }

  directory(id: ContainerId): string {
    return join(this.#directory, id);
  }

  /** Made where it is not there: a restart of the host takes it away from a container that stays. */
  makeDirectory(id: ContainerId): string {
    const directory = this.directory(id);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    return directory;
  }

  /** Names of folders on tmpfs that no record knows. */
  strangers(): readonly string[] {
    return readdirSync(this.#directory).filter((name) => !this.#byId.has(name as ContainerId));
  }

  all(): readonly Container[] {
    return [...this.#byId.values()].sort((a, b) => b.createdAt - a.createdAt);
  }

  /** Takes a name (null: invents one) for `id` until `release`. */
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

  /** By id, for those who hold one: it may have been removed meanwhile. */
  byId(id: ContainerId): Container {
    const record = this.#byId.get(id);
    if (record === undefined) throw fail("NotFound", `No such container: ${id}`);
    return record;
  }

  /** By id or name; null: there is none. */
  look(reference: string): Container | null {
    return this.#byId.get(reference as ContainerId) ?? this.#byId.get(this.#names.get(reference) as ContainerId) ?? null;
  }

  /** By id, name, or the beginning of an id. */
  find(reference: string): Container {
    const exact = this.#byId.get(reference as ContainerId) ?? this.#byId.get(this.#names.get(reference.replace(/^\//, "")) as ContainerId);
    if (exact) return exact;
    const matches = /^[0-9a-f]+$/.test(reference) ? [...this.#byId.values()].filter((record) => record.id.startsWith(reference)) : [];
    const [found, other] = matches;
    if (other) throw fail("InvalidArgument", `multiple IDs found with provided prefix: ${reference}; give more of it`);
    if (found === undefined) throw fail("NotFound", `No such container: ${reference}`);
    return found;
  }

  /** A change that outlives a power cut, unless the container is volatile. */
  async save(call: Call, record: Container): Promise<Container> {
    this.note(record);
    await this.keep(call, record);
    return record;
  }

  /** The durable half of `save`: nobody sees it but the engine after a power cut. */
  async keep(call: Call, record: Container): Promise<void> {
    this.#unwritten.forget(onDisk(record));
    if (!record.config.autoRemove) await this.#state.write(call, [{ table: "containers", key: record.id, value: record }]);
  }

  /** `keep`, which a full disk puts off and does not fail. `call` outlives the request. */
  async keepSoon(call: Call, record: Container): Promise<void> {
    try {
      await this.keep(call, record);
    } catch (error) {
      // Removed meanwhile.
      if (this.#byId.has(record.id)) this.#unwritten.add(onDisk(record), () => this.keep(call, record), error);
    }
  }

  /** Takes back what was kept and never noted. */
  async drop(call: Call, record: Container): Promise<void> {
    this.#unwritten.forget(onDisk(record));
    if (!record.config.autoRemove) await this.#state.write(call, [{ table: "containers", key: record.id, value: null }]);
  }

  /** A change of what runs: survives the daemon, not the host. Counts at once, even if the state directory is full. */
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

  /** Whether the next daemon would find what was noted last. */
  isNoted(id: ContainerId): boolean {
    return !this.#unwritten.has(onTmpfs({ id }));
  }

  /** Out of sight at once; the files go with `discard`. */
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
   * A container is written as started before it is: when the daemon died in between, and the host did not, it has its directory, and no
   * record there that counts before this one.
   */
  #asHeard(record: Container): Container {
    return mayBeUnheard(record) && existsSync(this.directory(record.id)) ? { ...record, status: "created", startedAt: null } : record;
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
    // Died before its first record: the sweep takes the folder.
    return null;
  }
}
