/** What the directory store finds after a crash, and that deletion happens behind everybody's back. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Case, suite, temporaryDirectory } from "@tsbox/harness";
import { type ActiveKey, createCall, type Snapshot, type SnapshotName, silentLog } from "../src/index.ts";
import { SnapshotStore } from "../src/snapshots/index.ts";

const test = suite("snapshot store");
const call = createCall(silentLog);
const key = (text: string): ActiveKey => text as ActiveKey;
const named = (text: string): SnapshotName => text as SnapshotName;
const durable = { durable: true };

function open(test: Case, directory: string, sync = async (): Promise<void> => undefined): SnapshotStore {
  const host = {
    removeTree: async (_call: unknown, path: string) => rmSync(path, { recursive: true, force: true }),
    usage: async () => ({ bytes: 1, inodes: 1 }),
    sync,
  };
  const store = new SnapshotStore({ directory, host, makeCall: () => call, skeleton: [{ name: "fs", mode: 0o755 }] });
  test.cleanup(() => store.close());
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
