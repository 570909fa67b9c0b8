/** The directory store after a crash, and deletion in the background. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Case, suite, temporaryDirectory } from "@tsbox/harness";
import { type ActiveKey, createCall, fail, type Snapshot, type SnapshotName, silentLog } from "../src/index.ts";
import { SnapshotStore } from "../src/snapshots/index.ts";

const test = suite("snapshot store");
const call = createCall(silentLog);
const key = (text: string): ActiveKey => text as ActiveKey;
const named = (text: string): SnapshotName => text as SnapshotName;
const durable = { durable: true };

function open(test: Case, directory: string, sync = async (): Promise<void> => undefined, boot = "this boot"): SnapshotStore {
  const host = {
    removeTree: async (_call: unknown, path: string) => rmSync(path, { recursive: true, force: true }),
    usage: async () => ({ bytes: 1, inodes: 1 }),
    sync,
    limitTree: async () => undefined,
    unlimitTree: async () => undefined,
  };
  const store = new SnapshotStore({ directory, host, makeCall: () => call, boot, skeleton: [{ name: "fs", mode: 0o755 }] });
  test.cleanup(() => Promise.race([store.close(), new Promise((resolve) => setImmediate(resolve))]));
  return store;
}
const fill = (directory: string): void => writeFileSync(join(directory, "fs/file"), "content");

async function all(store: SnapshotStore): Promise<readonly Snapshot[]> {
  const found: Snapshot[] = [];
  for await (const snapshot of store.list()) found.push(snapshot);
  return found;
}

test("a new store finds what an earlier one made, and parents still count their children", async (test) => {
  const directory = temporaryDirectory(test);
  const first = open(test, directory);
  await first.create("active", key("a"), null, durable, fill);
  await first.commit(call, named("l"), key("a"));
  await first.create("active", key("b"), named("l"), { durable: false }, fill);
  const second = open(test, directory);
  assert.deepEqual(
    (await all(second)).map(({ kind, key, parent }) => [kind, key, parent]),
    [
      ["active", "b", "l"],
      ["committed", "l", null],
    ],
  );
  assert.ok(existsSync(join(second.get(named("l")).directory, "fs/file")));
  assert.throws(() => second.remove(named("l")), /has 1 snapshots on top/);
});

test("what was being made when the engine died is gone, and so is a snapshot whose record is torn", async (test) => {
  const directory = temporaryDirectory(test);
  mkdirSync(join(directory, "making/7/fs"), { recursive: true });
  mkdirSync(join(directory, "active/torn/fs"), { recursive: true });
  writeFileSync(join(directory, "active/torn/snapshot.json"), `{"par`);
  mkdirSync(join(directory, "view/bare"), { recursive: true });
  const store = open(test, directory);
  assert.deepEqual(await all(store), []);
  await store.reclaim(call, false);
  assert.deepEqual(
    ["making", "active", "view", "removed"].flatMap((folder) => readdirSync(join(directory, folder))),
    [],
  );
  await store.create("active", key("torn"), null, durable, fill);
});

test("the engine dies in a commit: the tree is under its key, or under its name", async (test) => {
  const directory = temporaryDirectory(test);
  const seen: (readonly string[])[] = [];
  const store = open(test, directory, async () => {
    seen.push((await all(open(test, directory))).map(({ kind, key }) => `${kind} ${key}`));
  });
  await store.create("active", key("a"), null, durable, fill);
  await store.commit(call, named("l"), key("a"));
  seen.push((await all(open(test, directory))).map(({ kind, key }) => `${kind} ${key}`));
  assert.deepEqual(seen, [["active a"], ["committed l"]]);
});

test("a commit that fails leaves the snapshot active", async (test) => {
  const store = open(test, temporaryDirectory(test), async () => {
    throw new Error("EIO");
  });
  await store.create("active", key("a"), null, durable, fill);
  await assert.rejects(store.commit(call, named("l"), key("a")), /EIO/);
  assert.equal(store.stat(key("a")).kind, "active");
  assert.throws(() => store.stat(named("l")), /no snapshot l/);
});

/** A disk whose sync waits until the test releases it. */
function slowDisk(): { readonly sync: () => Promise<void>; readonly asked: Promise<void>; readonly let: () => void } {
  const [asked, may] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const sync = (): Promise<void> => {
    asked.resolve();
    return may.promise;
  };
  return { sync, asked: asked.promise, let: may.resolve };
}
const volatile = { durable: false };

test("a volatile commit does not wait for the disk; a power cut until then takes it whole, a daemon's death does not", async (test) => {
  const directory = temporaryDirectory(test);
  const disk = slowDisk();
  const store = open(test, directory, disk.sync);
  await store.create("active", key("a"), null, volatile, fill);
  await store.commit(call, named("l"), key("a"), { volatile: true });
  await disk.asked;
  assert.equal(store.stat(named("l")).kind, "committed");
  assert.deepEqual(
    (await all(open(test, directory, disk.sync))).map(({ key }) => key),
    ["l"],
  );
  assert.deepEqual(await all(open(test, directory, disk.sync, "the next boot")), []);
  assert.deepEqual(readdirSync(join(directory, "committed")), []);
  disk.let();
});

test("once it is on disk a power cut leaves it, and an active one that was never to last goes", async (test) => {
  const directory = temporaryDirectory(test);
  const store = open(test, directory);
  await store.create("active", key("a"), null, volatile, fill);
  await store.commit(call, named("l"), key("a"), { volatile: true });
  await store.create("active", key("b"), named("l"), volatile, fill);
  await store.close();
  const next = open(test, directory, undefined, "the next boot");
  assert.deepEqual(
    (await all(next)).map(({ key }) => key),
    ["l"],
  );
  next.remove(named("l"));
});

test("what is made durably on a volatile commit makes it durable first", async (test) => {
  for (const last of ["prepare", "view", "commit"] as const) {
    const directory = temporaryDirectory(test);
    const disk = slowDisk();
    const store = open(test, directory, disk.sync);
    await store.create("active", key("a"), null, volatile, fill);
    await store.commit(call, named("l"), key("a"), { volatile: true });
    await store.create("active", key("b"), named("l"), volatile, fill);
    let done = false;
    const on =
      last === "commit"
        ? store.commit(call, named("m"), key("b"))
        : store.create(last === "view" ? "view" : "active", key("c"), named("l"), { durable: last === "prepare" }, () => {});
    const waits = on.then(() => {
      done = true;
    });
    await disk.asked;
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(done, false, last);
    disk.let();
    await waits;
    const kept = (await all(open(test, directory, undefined, "the next boot"))).map(({ key }) => key).sort();
    assert.deepEqual(kept, last === "commit" ? ["l", "m"] : ["c", "l"], last);
  }
});

test("what is settled survives a power cut, with what is below it, and nothing else does", async (test) => {
  const directory = temporaryDirectory(test);
  const store = open(test, directory);
  await store.create("active", key("a"), null, volatile, fill);
  await store.commit(call, named("l"), key("a"), { volatile: true });
  await store.create("active", key("b"), named("l"), volatile, fill);
  await store.create("active", key("c"), named("l"), volatile, fill);
  await Promise.all([store.settle(call, key("b")), store.settle(call, key("b"))]);
  await store.settle(call, key("b"));
  const kept = (await all(open(test, directory, undefined, "the next boot"))).map(({ key }) => key).sort();
  assert.deepEqual(kept, ["b", "l"]);
});

test("of one that is committed or removed while it is settled only what became of it counts", async (test) => {
  const directory = temporaryDirectory(test);
  const store = open(test, directory);
  await store.create("active", key("a"), null, volatile, fill);
  await Promise.all([store.settle(call, key("a")), store.commit(call, named("l"), key("a"))]);
  await store.create("active", key("b"), null, volatile, fill);
  const settling = store.settle(call, key("b")).catch((error: NodeJS.ErrnoException) => error.code);
  store.remove(key("b"));
  assert.ok([undefined, "ENOENT"].includes((await settling) as string | undefined));
  const kept = (await all(open(test, directory, undefined, "the next boot"))).map(({ kind, key }) => `${kind} ${key}`);
  assert.deepEqual(kept, ["committed l"]);
});

test("a successor of a removed one's name is not taken for it", async (test) => {
  const directory = temporaryDirectory(test);
  const disk = slowDisk();
  let first = true;
  const store = open(test, directory, async () => {
    if (!first) throw new Error("EIO");
    first = false;
    await disk.sync();
  });
  await store.create("active", key("a"), null, volatile, fill);
  await store.commit(call, named("l"), key("a"), { volatile: true });
  store.remove(named("l"));
  await store.create("active", key("b"), null, volatile, fill);
  await store.commit(call, named("l"), key("b"), { volatile: true });
  disk.let();
  await store.close();
  assert.deepEqual(await all(open(test, directory, undefined, "the next boot")), []);
});

test("a create that fails leaves nothing, and the key is free", async (test) => {
  const directory = temporaryDirectory(test);
  const store = open(test, directory);
  await assert.rejects(
    store.create("active", key("a"), null, durable, () => {
      throw new Error("EDQUOT");
    }),
    /EDQUOT/,
  );
  assert.deepEqual(readdirSync(join(directory, "active")), []);
  await store.create("active", key("a"), null, durable, fill);
});

test("an engine that stops leaves removals to its next start, without a warning; any other failure is a warning", async (test) => {
  const stopping = new AbortController();
  for (const [message, warned] of [
    ["stopped", 0],
    ["the disk is broken", 1],
  ] as const) {
    const warnings: string[] = [];
    const log = { ...silentLog, warn: (text: string) => void warnings.push(text) };
    const tried = Promise.withResolvers<void>();
    const host = {
      removeTree: async () => {
        if (warned === 0) stopping.abort(new Error(message));
        setImmediate(tried.resolve);
        throw new Error(message);
      },
      usage: async () => ({ bytes: 1, inodes: 1 }),
      sync: async () => undefined,
      limitTree: async () => undefined,
      unlimitTree: async () => undefined,
    };
    const makeCall = () => createCall(log, warned === 0 ? { signal: stopping.signal } : {});
    const store = new SnapshotStore({
      directory: temporaryDirectory(test),
      host,
      makeCall,
      boot: "this boot",
      skeleton: [{ name: "fs", mode: 0o755 }],
    });
    await store.create("active", key("a"), null, durable, fill);
    store.remove(key("a"));
    // The store's own timer does not keep the process alive.
    const late = setTimeout(() => tried.reject(new Error("nothing was deleted")), 10_000);
    await tried.promise.finally(() => clearTimeout(late));
    assert.equal(warnings.length, warned, warnings.join());
    await store.close();
  }
});

test("what another engine has deleted meanwhile is deleted", async (test) => {
  const directory = temporaryDirectory(test);
  const gone = (path: string): never => {
    throw fail("NotFound", `open ${path}: No such file or directory`);
  };
  const store = new SnapshotStore({
    directory,
    host: {
      removeTree: async (_call, path) => rmSync(path, { recursive: true, force: true }),
      usage: async () => ({ bytes: 1, inodes: 1 }),
      sync: async () => undefined,
      limitTree: async () => undefined,
      unlimitTree: async (_call, path) => {
        // The first tree is limited no more; whoever deletes the others is faster.
        if (!existsSync(path)) gone(path);
        for (const name of readdirSync(join(directory, "removed"))) rmSync(join(directory, "removed", name), { recursive: true });
      },
    },
    makeCall: () => call,
    boot: "this boot",
    quotas: true,
    skeleton: [{ name: "fs", mode: 0o755 }],
  });
  test.cleanup(() => store.close());
  for (const name of ["a", "b", "c"]) {
    await store.create("active", key(name), null, durable, fill);
    store.remove(key(name));
  }
  await store.reclaim(call, false);
  assert.deepEqual(readdirSync(join(directory, "removed")), []);
});

test("one tree that can't be deleted holds up no other", async (test) => {
  const directory = temporaryDirectory(test);
  const host = {
    removeTree: async (_call: unknown, path: string) => {
      if (existsSync(join(path, "stuck"))) throw new Error("it is in use");
      rmSync(path, { recursive: true, force: true });
    },
    usage: async () => ({ bytes: 1, inodes: 1 }),
    sync: async () => undefined,
    limitTree: async () => undefined,
    unlimitTree: async () => undefined,
  };
  const store = new SnapshotStore({ directory, host, makeCall: () => call });
  test.cleanup(() => store.close());
  for (const name of ["stuck", "a", "b"]) {
    await store.create("active", key(name), null, durable, (path) => mkdirSync(join(path, name)));
    store.remove(key(name));
  }
  await assert.rejects(store.reclaim(call, true), /it is in use/);
  const [left, ...others] = readdirSync(join(directory, "removed"));
  assert.deepEqual(others, []);
  assert.deepEqual(readdirSync(join(directory, "removed", left ?? "")).sort(), ["snapshot.json", "stuck"]);
});

test("a driver's last work on a tree comes before the commit, and only for one that is not refused", async (test) => {
  const worked: string[] = [];
  const host = {
    removeTree: async () => undefined,
    usage: async () => ({ bytes: 1, inodes: 1 }),
    sync: async () => void worked.push("sync"),
    limitTree: async () => undefined,
    unlimitTree: async () => undefined,
  };
  let broken = false;
  const beforeCommit = async (_call: unknown, { key, kind }: { readonly key: string; readonly kind: string }): Promise<void> => {
    if (broken) throw new Error("the tree can't be closed");
    worked.push(`${kind} ${key}`);
  };
  const store = new SnapshotStore({ directory: temporaryDirectory(test), host, makeCall: () => call, beforeCommit });
  test.cleanup(() => store.close());
  for (const name of ["a", "b"]) await store.create("active", key(name), null, durable, () => undefined);
  await store.commit(call, named("l"), key("a"));
  await assert.rejects(store.commit(call, named("l"), key("b")), /exists already/);
  assert.deepEqual(worked, ["active a", "sync"]);
  broken = true;
  await assert.rejects(store.commit(call, named("m"), key("b")), /can't be closed/);
  assert.equal(store.stat(key("b")).kind, "active");
});

test("a removed tree is out of sight at once and deleted by reclaim", async (test) => {
  const directory = temporaryDirectory(test);
  const store = open(test, directory);
  await store.create("active", key("a"), null, durable, fill);
  store.remove(key("a"));
  assert.deepEqual(readdirSync(join(directory, "active")), []);
  assert.equal(readdirSync(join(directory, "removed")).length, 1);
  assert.equal(await store.reclaim(call, true), 1);
  assert.deepEqual(readdirSync(join(directory, "removed")), []);
});
