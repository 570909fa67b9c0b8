/**
 * Volumes as directories: `<root>/NAME/_data`, and `<root>/NAME/options.json` if another tree is mounted there. A user of a volume is a
 * file `<state>/NAME/USER` on tmpfs, so a restart of the host removes it together with all mounts.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import {
  type Call,
  type ContainerId,
  fail,
  type HostToolkit,
  type Mount,
  type Strings,
  type Usage,
  type VolumeDriver,
  type VolumePowers,
  type VolumeState,
} from "@tsbox/kernel";
import { isMounted, mountAt, unmountAt } from "./internal/mounting.ts";
import { parseOptions, type Source } from "./options.ts";

/** The prefix of volumes that are being made or removed: a volume's name never begins with a dot. */
const unfinished = ".tsbox-";

export class LocalVolumes implements VolumeDriver {
  readonly powers: readonly (keyof VolumePowers)[] = [];
  readonly #host: HostToolkit;
  readonly #root: string;
  readonly #state: string;
  /** Serializes the changes of one volume's mount. */
  readonly #busy: Map<string, Promise<unknown>> = new Map();

  constructor(host: HostToolkit, root: string, state: string) {
    this.#host = host;
    this.#root = root;
    this.#state = state;
  }

  /** Removes volumes that a crash left half made or half removed. */
  async sweep(call: Call): Promise<void> {
    mkdirSync(this.#root, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(this.#root)) if (name.startsWith(unfinished)) await this.#host.removeTree(call, join(this.#root, name));
  }

  async create(_call: Call, name: string, options: Strings): Promise<void> {
    check(name);
    const source = parseOptions(name, options);
    const place = join(this.#root, name);
    if (existsSync(place)) throw fail("AlreadyExists", `volume ${name} exists already`);
    const making = mkdtempSync(join(this.#root, `${unfinished}new-`));
    try {
      mkdirSync(join(making, "_data"));
      chmodSync(join(making, "_data"), 0o755);
      if (source !== null) writeFileSync(join(making, "options.json"), JSON.stringify(options));
      renameSync(making, place);
    } catch (error) {
      rmSync(making, { recursive: true, force: true });
      // A concurrent create was faster: a rename does not replace a directory that is not empty.
      if (existsSync(place)) throw fail("AlreadyExists", `volume ${name} exists already`);
      throw error;
    }
  }

  async remove(call: Call, name: string): Promise<void> {
    const going = await this.#alone(name, async () => {
      const place = this.#place(name);
      const users = this.#users(name);
      if (users.length > 0) throw fail("FailedPrecondition", `volume ${name} is attached to ${users.join(", ")}`);
      await unmountAt(call, this.#host, join(place, "_data"));
      const away = join(mkdtempSync(join(this.#root, `${unfinished}gone-`)), "volume");
      renameSync(place, away);
      rmSync(join(this.#state, name), { recursive: true, force: true });
      return join(away, "..");
    });
    await this.#host.removeTree(call, going);
  }

  async attach(call: Call, name: string, user: ContainerId): Promise<Mount> {
    return this.#alone(name, async () => {
      const data = join(this.#place(name), "_data");
      const source = this.#source(name);
      const mount = await this.#ready(call, name, data, source);
      mkdirSync(join(this.#state, name), { recursive: true, mode: 0o700 });
      writeFileSync(join(this.#state, name, user), "");
      return mount;
    });
  }

  async detach(call: Call, name: string, user: ContainerId): Promise<void> {
    await this.#alone(name, async () => {
      const data = join(this.#place(name), "_data");
      rmSync(join(this.#state, name, user), { force: true });
      if (this.#users(name).length > 0) return;
      rmSync(join(this.#state, name), { recursive: true, force: true });
      if (this.#source(name)?.kind === "mounted") await unmountAt(call, this.#host, data);
    });
  }

  async stat(_call: Call, name: string): Promise<VolumeState> {
    return { mountpoint: join(this.#place(name), "_data"), users: this.#users(name) };
  }

  async usage(call: Call, name: string): Promise<Usage> {
    const data = join(this.#place(name), "_data");
    const source = this.#source(name);
    if (source?.kind === "bound" || (source?.kind === "mounted" && !isMounted(data)))
      throw fail("Unsupported", `volume ${name} lies elsewhere: what it takes is not this engine's to count`);
    return this.#host.usage(call, data);
  }

  async list(_call: Call): Promise<AsyncIterable<string>> {
    return streamOf(readdirSync(this.#root).filter((name) => !name.startsWith(".")));
  }

  #place(name: string): string {
    check(name);
    const place = join(this.#root, name);
    if (!existsSync(place)) throw fail("NotFound", `no volume ${name}`);
    return place;
  }

  #source(name: string): Source {
    const path = join(this.#root, name, "options.json");
    return existsSync(path) ? parseOptions(name, JSON.parse(readFileSync(path, "utf8")) as Strings) : null;
  }

  #users(name: string): readonly ContainerId[] {
    const directory = join(this.#state, name);
    return existsSync(directory) ? (readdirSync(directory) as ContainerId[]) : [];
  }

  async #ready(call: Call, name: string, data: string, source: Source): Promise<Mount> {
    if (source?.kind === "bound") {
      if (!statSync(source.directory, { throwIfNoEntry: false }))
        throw fail(
          "FailedPrecondition",
          `failed to mount local volume: mount ${source.directory}:${data}: no such file or directory; make it, or give the volume ${name} another device`,
        );
      return { type: "bind", source: source.directory, target: null, options: source.options };
    }
    if (source !== null && !isMounted(data)) await mountAt(call, this.#host, data, source);
    return { type: "bind", source: data, target: null, options: ["rbind"] };
  }

  /** Runs the work of one volume one after another, in the order of the requests. */
  async #alone<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.#busy.get(name) ?? Promise.resolve();
    const mine = before.then(work, work);
    this.#busy.set(name, mine);
    try {
      return await mine;
    } finally {
      if (this.#busy.get(name) === mine) this.#busy.delete(name);
    }
  }
}

function check(name: string): void {
  if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]{1,199}$/.test(name)) return;
  throw fail(
    "InvalidArgument",
    /^[a-zA-Z0-9]$/.test(name)
      ? "volume name is too short, names should be at least two alphanumeric characters"
      : `create ${name}: "${name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
  );
}

async function* streamOf<T>(items: readonly T[]): AsyncGenerator<T, void, undefined> {
  yield* items;
}
