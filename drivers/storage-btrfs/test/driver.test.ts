/** The promises of btrfs alone; the conformance suite checks the rest. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { openDriver, openToolkit } from "@tsbox/conformance";
import { type BtrfsDisk, type Case, mountBtrfs, suite, temporaryDirectory, whyNoBtrfs } from "@tsbox/harness";
import {
  type ActiveKey,
  createCall,
  fail,
  type HostToolkit,
  isTsboxError,
  type Mount,
  type SnapshotKey,
  type SnapshotName,
  silentLog,
  supports,
  type ViewKey,
} from "@tsbox/kernel";
import { BtrfsDriver } from "../src/driver.ts";
import plugin from "../src/index.ts";
import { Syncs } from "../src/syncs.ts";

const toolkit = await openToolkit();
const reason = "skip" in toolkit ? toolkit.skip : whyNoBtrfs();
const test = suite("storage-btrfs", { timeout: 120_000 });
const call = createCall(silentLog);
const key = (text: string): ActiveKey => text as ActiveKey;
const named = (text: string): SnapshotName => text as SnapshotName;
const megabyte = 1 << 20;

interface World {
  readonly host: HostToolkit;
  readonly disk: BtrfsDisk;
  readonly directory: string;
  /** Another driver over the same directory, as after a crash. */
  again(): BtrfsDriver;
}

function world(current: Case): World {
  if ("skip" in toolkit) return current.skip(toolkit.skip);
  const { host } = toolkit;
  const disk = mountBtrfs();
  const drivers: BtrfsDriver[] = [];
  current.cleanup(async () => {
    for (const driver of drivers) await driver.close();
    disk.unmount();
  });
  const directory = join(disk.directory, "root");
  mkdirSync(directory);
  const again = (): BtrfsDriver => {
    const driver = new BtrfsDriver(host, directory, () => call);
    drivers.push(driver);
    return driver;
  };
  return { host, disk, directory, again };
}

/** The writable tree of what was just prepared. */
const treeOf = ([mount]: readonly Mount[]): string => mount?.source ?? "";
/** As a container's root would. */
const makeInside = (path: string): unknown => execFileSync("btrfs", ["subvolume", "create", path]);
const setReadOnly = (path: string): unknown => execFileSync("btrfs", ["property", "set", path, "ro", "true"]);
/** EDQUOT, for which Node has no name. */
const overLimit = (error: unknown): boolean => (error as NodeJS.ErrnoException).errno === -122;

function assertNothingLeft({ disk, directory }: World): void {
  assert.deepEqual(disk.subvolumes(), [], "subvolumes are left");
  assert.deepEqual(disk.quotaGroups(), [], "quota groups are left");
  for (const folder of ["active", "view", "committed", "making", "removed", "groups"])
    assert.deepEqual(readdirSync(join(directory, folder)), [], `in ${folder}`);
}

/** Quotas as an operator may have switched them on, or as the driver does. */
const quotas: readonly { readonly title: string; readonly enable: (disk: BtrfsDisk) => unknown }[] = [
  { title: "", enable: () => undefined },
  { title: " (full quotas)", enable: ({ directory }) => execFileSync("btrfs", ["quota", "enable", directory]) },
];

for (const { title, enable } of quotas)
  test.skipIf(reason, `a removal leaves no subvolume and no quota group, also of what a container made inside${title}`, async (current) => {
    const own = world(current);
    enable(own.disk);
    const driver = own.again();
    await driver.prepare(call, key("a"), null);
    await driver.commit(call, named("l"), key("a"));
    const tree = treeOf(await driver.prepare(call, key("b"), named("l"), { quotaBytes: 8 * megabyte }));
    mkdirSync(join(tree, "deep"));
    for (const path of ["one", "one/two", "deep/three"]) makeInside(join(tree, path));
    execFileSync("btrfs", ["subvolume", "snapshot", "-r", tree, join(tree, "self")], { stdio: "ignore" });
    setReadOnly(join(tree, "one"));
    const simple = (await own.host.subvolumeQuotas(call, own.directory)) === "simple";
    const full = join(tree, simple ? "deep/three/full" : "full");
    assert.throws(() => writeFileSync(full, Buffer.alloc(16 * megabyte, "x")), overLimit);
    setReadOnly(tree);
    await driver.remove(call, key("b"));
    await driver.remove(call, named("l"));
    await driver.reclaim(call);
    assertNothingLeft(own);
  });

for (const { title, enable } of quotas)
  test.skipIf(reason, `an engine that died within a removal leaves the rest to the next one${title}`, async (current) => {
    const own = world(current);
    enable(own.disk);
    const dead = own.again();
    const tree = treeOf(await dead.prepare(call, key("a"), null, { quotaBytes: 64 * megabyte }));
    makeInside(join(tree, "inside"));
    await dead.prepare(call, key("b"), null);
    // Each step that a death may follow: removed by name; ids written down; the subvolume inside gone; all gone but the groups.
    const ids = await own.host.listSubvolumes(call, tree, 100);
    await dead.remove(call, key("a"));
    await dead.close();
    for (const id of ids) writeFileSync(join(own.directory, "groups", String(id)), "");
    await own.host.removeSubvolumes(call, own.directory, ids.slice(0, 1));
    const next = own.again();
    await next.reclaim(call);
    await next.remove(call, key("b"));
    await next.reclaim(call);
    assertNothingLeft(own);
  });

test.skipIf(reason, "what is still mounted goes when it is unmounted", async (current) => {
  const own = world(current);
  const driver = own.again();
  const root = await own.host.open(call, await driver.prepare(call, key("a"), null, { quotaBytes: 64 * megabyte }));
  writeFileSync(join(root, "file"), "x");
  await driver.remove(call, key("a"));
  const end = Date.now() + 30_000;
  while (readdirSync(join(own.directory, "removed")).length > 0) {
    assert.ok(Date.now() < end, "nothing was removed in the background");
    await pause(20);
  }
  assert.equal(readdirSync(join(own.directory, "groups")).length, 1);
  await own.host.close(call, root);
  await driver.reclaim(call);
  assertNothingLeft(own);
});

test.skipIf(reason, "usage is what is a snapshot's own, as soon as it is written", async (current) => {
  const { again } = world(current);
  const driver = again();
  writeFileSync(join(treeOf(await driver.prepare(call, key("a"), null)), "big"), Buffer.alloc(8 * megabyte, "x"));
  await driver.commit(call, named("l"), key("a"));
  const tree = treeOf(await driver.prepare(call, key("b"), named("l")));
  assert.deepEqual(await driver.usage(call, key("b")), { bytes: 0, inodes: 1 });
  writeFileSync(join(tree, "big"), Buffer.alloc(megabyte, "y"), { flag: "r+" });
  writeFileSync(join(tree, "new"), Buffer.alloc(megabyte, "y"));
  assert.deepEqual(await driver.usage(call, key("b")), { bytes: 2 * megabyte, inodes: 2 });
  assert.deepEqual(await driver.usage(call, named("l") as SnapshotKey), { bytes: 8 * megabyte, inodes: 2 });
});

test.skipIf(reason, "what a container keeps in subvolumes of its own is in the layer that is made of it", async (current) => {
  const { host, again } = world(current);
  const driver = again();
  const tree = treeOf(await driver.prepare(call, key("a"), null, { quotaBytes: 4 * megabyte }));
  mkdirSync(join(tree, "srv"));
  makeInside(join(tree, "srv/data"));
  writeFileSync(join(tree, "srv/data/file"), "content");
  setReadOnly(join(tree, "srv/data"));
  assert.throws(() => writeFileSync(join(tree, "full"), Buffer.alloc(8 * megabyte, "x")), overLimit);
  await driver.commit(call, named("l"), key("a"));
  const child = treeOf(await driver.prepare(call, key("b"), named("l")));
  assert.equal(readFileSync(join(child, "srv/data/file"), "utf8"), "content");
  assert.equal((await host.listSubvolumes(call, child, 100)).length, 1);
});

test.skipIf(reason, "committed trees are read-only subvolumes; one whose commit is refused can be written", async (current) => {
  const { host, again } = world(current);
  const driver = again();
  await driver.prepare(call, key("a"), null);
  await driver.commit(call, named("l"), key("a"));
  const [view] = await driver.view(call, "v" as ViewKey, named("l"));
  assert.ok((await host.describeSubvolume(call, view?.source ?? "")).readOnly);
  const tree = treeOf(await driver.prepare(call, key("b"), named("l")));
  await assert.rejects(driver.commit(call, named("l"), key("b")), (error) => isTsboxError(error) && error.code === "AlreadyExists");
  writeFileSync(join(tree, "file"), "x");
  const stopped = createCall(silentLog, { signal: AbortSignal.abort(fail("Canceled", "stopped")) });
  await assert.rejects(driver.commit(stopped, named("m"), key("b")), (error) => isTsboxError(error) && error.code === "Canceled");
  writeFileSync(join(tree, "file"), "y");
});

test.skipIf(
  reason,
  "a tree that its container, or an interrupted commit, has made read-only can be written when it is mounted again",
  async (current) => {
    const { again } = world(current);
    const tree = treeOf(await again().prepare(call, key("a"), null));
    setReadOnly(tree);
    assert.throws(() => writeFileSync(join(tree, "file"), "x"), /EROFS/);
    writeFileSync(join(treeOf(await again().mounts(call, key("a"))), "file"), "x");
  },
);

test.skipIf(reason, "one key is committed once", async (current) => {
  const { again } = world(current);
  const driver = again();
  await driver.prepare(call, key("a"), null);
  const both = await Promise.allSettled([driver.commit(call, named("l"), key("a")), driver.commit(call, named("m"), key("a"))]);
  assert.deepEqual(
    both.map(({ status }) => status),
    ["fulfilled", "rejected"],
  );
});

test.skipIf(reason, "the quotas of the disk are switched on by the first size limit, not before", async (current) => {
  const { host, disk, again } = world(current);
  const driver = again();
  await driver.prepare(call, key("a"), null);
  assert.equal(await host.subvolumeQuotas(call, disk.directory), "off");
  await Promise.all(["b", "c"].map((name) => driver.prepare(call, key(name), null, { quotaBytes: megabyte })));
  assert.notEqual(await host.subvolumeQuotas(call, disk.directory), "off");
});

test.skipIf(reason, "the probe says what is missing, and leaves nothing, also of one that was killed", async (current) => {
  const { host, disk } = world(current);
  const directory = join(disk.directory, "engine");
  const open = (directory: string) => openDriver(plugin, "storage", "btrfs", { directory, services: { host } });
  const elsewhere = temporaryDirectory(current, "/dev/shm");
  await assert.rejects(open(elsewhere), (error) => isTsboxError(error) && /does not lie on btrfs/.test(error.message));
  mkdirSync(join(directory, "root/probe"), { recursive: true });
  makeInside(join(directory, "root/probe/fs"));
  setReadOnly(join(directory, "root/probe/fs"));
  const { close } = await open(directory);
  await close();
  assert.ok(!existsSync(join(directory, "root/probe")));
  // With quotas on, the next start removes the groups of the probe's subvolumes, too.
  await host.enableSubvolumeQuotas(call, disk.directory);
  const { value, close: closeAgain } = await open(directory);
  if (supports(value, "reclaim")) await value.reclaim(call);
  await closeAgain();
  await host.awaitSubvolumes(call, disk.directory, disk.subvolumes().map(Number), 30);
  assert.deepEqual([disk.subvolumes(), disk.quotaGroups()], [[], []]);
});

test("config is refused", () => {
  assert.equal(plugin.parseConfig({}), null);
  assert.throws(() => plugin.parseConfig({ size: 1 }), /takes no config/);
});

test("a sync that began before a call does not count for it, and those that wait share the next one", async () => {
  const begun: PromiseWithResolvers<void>[] = [];
  const syncs = new Syncs(() => {
    const sync = Promise.withResolvers<void>();
    begun.push(sync);
    return sync.promise;
  });
  const first = syncs.run();
  const [second, third] = [syncs.run(), syncs.run()];
  assert.equal(begun.length, 1);
  begun[0]?.reject(new Error("the disk is broken"));
  await assert.rejects(first, /broken/);
  await pause(0);
  assert.equal(begun.length, 2);
  const fourth = syncs.run();
  begun[1]?.resolve();
  await Promise.all([second, third]);
  await pause(0);
  assert.equal(begun.length, 3);
  begun[2]?.resolve();
  await fourth;
});

test.skipIf(reason, "the toolkit closes", async () => {
  if (!("skip" in toolkit)) await toolkit.close();
});
