/** The service `volumes` over a driver in memory: names, claims, and the state after a crash. */
import { suite } from "@tsbox/harness";
import {
  type ContainerId,
  createCall,
  type EngineEvent,
  type EventsService,
  fail,
  isTsboxError,
  type Mount,
  newContainerId,
  type StateService,
  type Strings,
  silentLog,
  type VolumeDriver,
  type VolumesService,
} from "@tsbox/kernel";
import * as assert from "uvu/assert";
import { openVolumes, type VolumesEngine } from "../src/service.ts";

const test = suite("volumes");
const call = createCall(silentLog);
const [one, two] = [newContainerId(), newContainerId()];

/** A driver in memory. Trees are lists of files. */
class Trees implements VolumeDriver {
  readonly powers = [];
  readonly trees: Map<string, string[]> = new Map();
  readonly users: Map<string, Set<ContainerId>> = new Map();

  async create(_call: unknown, name: string, options: Strings): Promise<void> {
    if (options.wrong !== undefined) throw fail("InvalidArgument", "wrong");
    if (this.trees.has(name)) throw fail("AlreadyExists", name);
    this.trees.set(name, []);
  }
  async remove(_call: unknown, name: string): Promise<void> {
    this.#tree(name);
    if ((this.users.get(name)?.size ?? 0) > 0) throw fail("FailedPrecondition", `${name} is attached`);
    this.trees.delete(name);
  }
  async attach(_call: unknown, name: string, user: ContainerId): Promise<Mount> {
    this.#tree(name);
    this.users.set(name, (this.users.get(name) ?? new Set()).add(user));
    return { type: "memory", source: name, target: null, options: [] };
  }
  async detach(_call: unknown, name: string, user: ContainerId): Promise<void> {
    this.#tree(name);
    this.users.get(name)?.delete(user);
  }
  async stat(_call: unknown, name: string) {
    this.#tree(name);
    return { mountpoint: `/trees/${name}`, users: [...(this.users.get(name) ?? [])] };
  }
  async usage(_call: unknown, name: string) {
    return { bytes: this.#tree(name).length, inodes: 1 };
  }
  async list(): Promise<AsyncIterable<string>> {
    throw fail("Unsupported", "nobody asks");
  }
  #tree(name: string): string[] {
    const tree = this.trees.get(name);
    if (tree === undefined) throw fail("NotFound", name);
    return tree;
  }
}

interface World {
  readonly trees: Trees;
  readonly records: Map<string, unknown>;
  readonly published: string[];
  /** The files of an image at a path; a copy fails after `breaksAfter` files. */
  image: readonly string[] | null;
  breaksAfter: number;
  /** No record can be written. */
  full: boolean;
  open(): Promise<VolumesService>;
}

function world(): World {
  const records = new Map<string, unknown>();
  const published: string[] = [];
  const trees = new Trees();
  const own: World = { trees, records, published, image: null, breaksAfter: Number.POSITIVE_INFINITY, full: false, open };
  const state: StateService = {
    get: async (_call, _table, key) => records.get(key) ?? null,
    list: async () => [...records],
    write: async (_call, changes) => {
      if (own.full) throw fail("ResourceExhausted", "no room for a record");
      for (const { key, value } of changes) value === null ? records.delete(key) : records.set(key, structuredClone(value));
    },
    isRestored: async () => false,
    acceptRestored: async () => undefined,
  };
  const events: Pick<EventsService, "publish"> = {
    publish: async (_call, { action, id }: Omit<EngineEvent, "at">) => void published.push(`${action} ${id}`),
  };
  const host: VolumesEngine["host"] = {
    open: async (_call, [mount]) => mount?.source ?? "",
    close: async () => undefined,
    sync: async () => undefined,
    emptyTree: async (_call, path) => void trees.trees.set(path, []),
    copyInto: async (_call, _root, _path, to, options) => {
      const tree = trees.trees.get(to) ?? [];
      if (own.image === null || tree.length > 0) return "nothing";
      if (options?.check) return own.image.length > 0 ? "content" : "owner";
      for (const [at, file] of own.image.entries()) {
        if (at >= own.breaksAfter) throw fail("Internal", "the daemon died here");
        tree.push(file);
      }
      return own.image.length > 0 ? "content" : "owner";
    },
  };
  async function open(): Promise<VolumesService> {
    const driver = async (id: string): Promise<VolumeDriver> => {
      if (id !== "local") throw fail("DriverMissing", `no driver ${id}`);
      return trees;
    };
    return openVolumes({ state, events: events as EventsService, host, driver, preferred: async () => "local" }, call);
  }
  return own;
}

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "done",
    (error: unknown) => (isTsboxError(error) ? `${error.code}: ${error.message}` : String(error)),
  );

test("created once, found again by the same name, refused for another driver; published and kept", async () => {
  const { open, published, records, trees } = world();
  const volumes = await open();
  const made = await volumes.create(call, { name: "data", labels: { a: "b" } });
  assert.equal([made.driver, made.anonymous, made.mountpoint, made.labels], ["local", false, "/trees/data", { a: "b" }]);
  assert.is((await volumes.create(call, { name: "data", driver: "local" })).createdAt, made.createdAt);
  assert.match(
    await codeOf(volumes.create(call, { name: "data", driver: "nfs" })),
    /^AlreadyExists: A volume named "data" already exists with the "local" driver/,
  );
  assert.match(
    await codeOf(volumes.create(call, { name: "other", driver: "nfs" })),
    /^NotFound: create other: error looking up volume plugin nfs/,
  );
  assert.match(await codeOf(volumes.create(call, { name: "other", options: { wrong: "1" } })), /^InvalidArgument/);
  assert.equal([[...records.keys()], [...trees.trees.keys()], published], [["data"], ["data"], ["create data"]]);
  assert.is((await (await open()).get(call, "data")).labels.a, "b", "the next daemon knows it");
  const nameless = await volumes.create(call, { name: null });
  assert.match(nameless.name, /^[0-9a-f]{64}$/);
  assert.equal([nameless.anonymous, nameless.labels], [true, { "com.docker.volume.anonymous": "" }]);
});

test("a creation that fails removes its own tree, and never one that was there before", async () => {
  const own = world();
  const volumes = await own.open();
  own.trees.trees.set("old", ["a user's file"]);
  own.full = true;
  for (const name of ["old", "new"]) assert.match(await codeOf(volumes.create(call, { name })), /^ResourceExhausted/);
  assert.equal([...own.trees.trees], [["old", ["a user's file"]]]);
});

test("a claimed volume is never removed", async () => {
  const { open, trees } = world();
  const volumes = await open();
  await volumes.create(call, { name: "data", claim: one });
  await volumes.claim(call, "data", two);
  assert.is(await codeOf(volumes.remove(call, "data", { force: true })), `Conflict: remove data: volume is in use - [${one}, ${two}]`);
  await volumes.release(call, "data", one);
  assert.is(await codeOf(volumes.remove(call, "data", {})), `Conflict: remove data: volume is in use - [${two}]`);
  assert.ok(trees.trees.has("data"));
  await volumes.release(call, "data", two);
  await volumes.remove(call, "data", {});
  assert.match(await codeOf(volumes.remove(call, "data", {})), /^NotFound: get data: no such volume/);
  assert.is(await codeOf(volumes.remove(call, "data", { force: true })), "done");
  // A removal and a claim at the same time: one of them is refused, and an accepted claim is kept.
  for (let round = 0; round < 20; round += 1) {
    await volumes.create(call, { name: "raced" });
    const works = [() => volumes.remove(call, "raced", {}), () => volumes.claim(call, "raced", one)];
    const [first, second] = await Promise.all((round % 2 === 0 ? works : works.reverse()).map((work) => codeOf(work())));
    assert.is([first, second].filter((outcome) => outcome === "done").length, 1);
    assert.is(trees.trees.has("raced"), (await volumes.users(call, "raced")).length === 1);
    await volumes.release(call, "raced", one);
    await volumes.remove(call, "raced", { force: true });
  }
});

test("after a daemon's death: claims come from the containers, stopped ones are detached, volatile ones without a claim are removed", async () => {
  const { open, trees } = world();
  const before = await open();
  for (const name of ["kept", "idle"]) await before.create(call, { name, claim: one });
  const [loose, held] = [
    await before.create(call, { name: null, volatile: true, claim: one }),
    await before.create(call, { name: null, volatile: true, claim: two }),
  ];
  for (const name of ["kept", "idle", held.name]) await before.mount(call, name, one, {});
  const volumes = await open();
  await volumes.restore(call, [
    { container: one, volume: "kept", running: true },
    { container: two, volume: held.name, running: true },
    { container: one, volume: "idle", running: false },
  ]);
  assert.equal([...(trees.users.get("kept") ?? [])], [one]);
  assert.equal([...(trees.users.get("idle") ?? [])], []);
  assert.not.ok(trees.trees.has(loose.name), "whose container nobody remembers");
  assert.ok(trees.trees.has(held.name));
  for (const name of ["kept", "idle", held.name]) assert.match(await codeOf(volumes.remove(call, name, {})), /^Conflict/);
});

test("a tree that a power cut took is an empty one again, with its options", async () => {
  const { open, trees } = world();
  const volumes = await open();
  await volumes.create(call, { name: "data" });
  trees.trees.delete("data");
  assert.is((await volumes.get(call, "data")).mountpoint, "");
  assert.is((await volumes.mount(call, "data", one, {})).source, "data");
  trees.trees.clear();
  await volumes.unmount(call, "data", one);
  await volumes.remove(call, "data", {});
});

test("filled once, if it is empty; a fill that broke off is begun anew by the next", async () => {
  const own = world();
  const volumes = await own.open();
  await volumes.create(call, { name: "data" });
  const fill = (service: VolumesService): Promise<boolean> => service.fill(call, "data", one, "/root", "/data");
  assert.is(await fill(volumes), false, "the image has nothing there");
  own.image = ["a", "b", "c"];
  own.breaksAfter = 2;
  assert.match(await codeOf(fill(volumes)), /^Internal/);
  assert.equal(own.trees.trees.get("data"), ["a", "b"]);
  assert.equal([...(own.trees.users.get("data") ?? [])], [], "it is let go whatever happens");
  own.breaksAfter = Number.POSITIVE_INFINITY;
  const next = await own.open();
  assert.is(await fill(next), true);
  assert.equal(own.trees.trees.get("data"), ["a", "b", "c"]);
  own.trees.trees.set("data", ["mine"]);
  assert.is(await fill(next), false);
  assert.equal(own.trees.trees.get("data"), ["mine"], "what a user has is never touched");
});

test("mounts and unmounts are published, and repeated without harm", async () => {
  const { open, published } = world();
  const volumes = await open();
  await volumes.create(call, { name: "data" });
  await volumes.mount(call, "data", one, { destination: "/x" });
  await volumes.unmount(call, "data", one);
  await volumes.unmount(call, "data", one);
  await volumes.unmount(call, "nobody's", one);
  assert.equal(published, ["create data", "mount data", "unmount data", "unmount data"]);
});
