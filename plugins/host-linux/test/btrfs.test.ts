/** Subvolumes and quota groups through the toolkit, on a btrfs of the case's own. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join, relative } from "node:path";
import { type BtrfsDisk, type Case, isFullRun, mountBtrfs, suite, temporaryDirectory, whyNoBtrfs } from "@tsbox/harness";
import { createCall, fail, type HostToolkit, isTsboxError, silentLog } from "@tsbox/kernel";
import { loadBinding } from "../src/binding.ts";
import { createToolkit } from "../src/toolkit.ts";

const call = createCall(silentLog);
const test = suite("host-linux: btrfs");
const reason = whyNoBtrfs();
const megabyte = 1 << 20;
const most = 1_000;

function world(current: Case): { readonly host: HostToolkit; readonly disk: BtrfsDisk; readonly path: (name: string) => string } {
  const host = createToolkit(loadBinding(), new Map(), () => Promise.reject(fail("Unavailable", "no launcher here")));
  const disk = mountBtrfs();
  current.cleanup(disk.unmount);
  return { host, disk, path: (name) => join(disk.directory, name) };
}

/** As a container's root would, without the toolkit. */
const makeInside = (path: string): unknown => execFileSync("btrfs", ["subvolume", "create", path]);
const setReadOnly = (path: string): unknown => execFileSync("btrfs", ["property", "set", path, "ro", "true"]);

/** EDQUOT, for which Node has no name. */
const overLimit = (error: unknown): boolean => (error as NodeJS.ErrnoException).errno === -122;
const coded = (code: string) => (error: unknown) => isTsboxError(error) && error.code === code;

async function remove(host: HostToolkit, path: string): Promise<readonly number[]> {
  const ids = await host.listSubvolumes(call, path, most);
  await host.removeSubvolumes(call, join(path, ".."), ids);
  assert.ok(!existsSync(path));
  return ids;
}

test.skipIf(reason, "a snapshot begins with what was just written, and a read-only one stays so", async (current) => {
  const { host, disk, path } = world(current);
  await host.createSubvolume(call, path("one"));
  assert.equal(statSync(path("one")).mode & 0o7777, 0o755);
  writeFileSync(path("one/file"), "before");
  await host.snapshotSubvolume(call, path("one"), path("two"));
  await host.snapshotSubvolume(call, path("one"), path("three"), { readOnly: true });
  writeFileSync(path("one/file"), "after");
  for (const name of ["two", "three"]) assert.equal(readFileSync(path(`${name}/file`), "utf8"), "before");
  writeFileSync(path("two/file"), "own");
  assert.throws(() => writeFileSync(path("three/file"), "own"), /EROFS/);
  const { id, readOnly } = await host.describeSubvolume(call, path("three"));
  assert.ok(readOnly && disk.subvolumes().includes(String(id)));
  await host.setSubvolumeReadOnly(call, path("three"), false);
  writeFileSync(path("three/file"), "own");
  assert.equal((await host.describeSubvolume(call, path("three"))).readOnly, false);
});

test.skipIf(reason, "errors have the contract's codes", async (current) => {
  const { host, path } = world(current);
  mkdirSync(path("directory"));
  await assert.rejects(host.describeSubvolume(call, path("directory")), coded("InvalidArgument"));
  await assert.rejects(host.snapshotSubvolume(call, path("directory"), path("x")), coded("InvalidArgument"));
  await assert.rejects(host.createSubvolume(call, path("directory")), coded("AlreadyExists"));
  await assert.rejects(host.describeSubvolume(call, path("nothing")), coded("NotFound"));
  await assert.rejects(host.createSubvolume(call, path("no/such/place")), coded("NotFound"));
  await assert.rejects(host.createSubvolume(call, "relative"), coded("InvalidArgument"));
  const elsewhere = temporaryDirectory(current, "/dev/shm");
  await assert.rejects(host.createSubvolume(call, join(elsewhere, "x")), coded("Unsupported"));
  await assert.rejects(host.subvolumeQuotas(call, elsewhere), coded("Unsupported"));
});

test.skipIf(
  reason,
  "subvolumes that a container made are listed before those that hold them, and removed, read-only ones too",
  async (current) => {
    const { host, disk, path } = world(current);
    await host.createSubvolume(call, path("top"));
    mkdirSync(path("top/deep/er"), { recursive: true });
    for (const name of ["top/a", "top/a/b", "top/a/b/c", "top/deep/er/d"]) makeInside(path(name));
    for (const name of ["top/a/b", "top/a", "top"]) setReadOnly(path(name));
    const { id } = await host.describeSubvolume(call, path("top"));
    const ids = await host.listSubvolumes(call, path("top"), most);
    assert.equal(ids.length, 5);
    assert.equal(ids.at(-1), id);
    assert.deepEqual(await host.listSubvolumes(call, path("top"), 2), ids.slice(0, 2));
    assert.deepEqual(await remove(host, path("top")), ids);
    await host.removeSubvolumes(call, disk.directory, ids);
    await host.awaitSubvolumes(call, disk.directory, ids, 30);
    assert.deepEqual(disk.subvolumes(), []);
  },
);

test.skipIf(reason, "deeply nested subvolumes and hundreds side by side are removed", async (current) => {
  const { host, disk, path } = world(current);
  await host.createSubvolume(call, path("top"));
  let deep = path("top");
  for (let level = 0; level < 300; level += 1) {
    deep = join(deep, "d");
    await host.createSubvolume(call, deep);
  }
  for (let at = 0; at < 600; at += 1) await host.createSubvolume(call, path(`top/d/${at}`));
  assert.equal((await host.listSubvolumes(call, path("top"), most)).length, 901);
  await remove(host, path("top"));
  const left = disk.subvolumes().map(Number);
  await host.awaitSubvolumes(call, disk.directory, left, 60);
  assert.deepEqual(disk.subvolumes(), []);
});

test.skipIf(reason, "subvolumes inside become directories, also after an interruption", async (current) => {
  const { host, path } = world(current);
  await host.createSubvolume(call, path("top"));
  mkdirSync(path("top/plain"));
  makeInside(path("top/plain/inner"));
  makeInside(path("top/plain/inner/innermost"));
  writeFileSync(path("top/plain/inner/innermost/file"), "content", { mode: 0o640 });
  setReadOnly(path("top/plain/inner"));
  // What a crash leaves: a copy that is not finished, and one that has taken its place already.
  const inner = (await host.describeSubvolume(call, path("top/plain/inner"))).id;
  mkdirSync(path(`top/plain/.tsbox-flat-${inner}`));
  writeFileSync(path(`top/plain/.tsbox-flat-${inner}/half`), "");
  await host.flattenSubvolume(call, path("top"));
  await host.flattenSubvolume(call, path("top"));
  assert.equal((await host.listSubvolumes(call, path("top"), most)).length, 1);
  assert.deepEqual(readdirSync(path("top/plain"), { recursive: true }).sort(), ["inner", "inner/innermost", "inner/innermost/file"]);
  assert.equal(readFileSync(path("top/plain/inner/innermost/file"), "utf8"), "content");
  assert.equal(statSync(path("top/plain/inner/innermost/file")).mode & 0o777, 0o640);
});

test.skipIf(reason, "usage counts what is a snapshot's own", async (current) => {
  const { host, disk, path } = world(current);
  const usage = async (name: string) => {
    await host.sync(call, disk.directory);
    return host.subvolumeUsage(call, path(name));
  };
  await host.createSubvolume(call, path("base"));
  writeFileSync(path("base/big"), Buffer.alloc(8 * megabyte, "x"));
  assert.deepEqual(await usage("base"), { bytes: 8 * megabyte, inodes: 2 });
  await host.snapshotSubvolume(call, path("base"), path("child"));
  assert.deepEqual(await usage("child"), { bytes: 0, inodes: 1 });
  writeFileSync(path("child/own"), Buffer.alloc(megabyte, "y"));
  writeFileSync(path("child/big"), Buffer.alloc(megabyte, "z"), { flag: "r+" });
  execFileSync("cp", ["--reflink=always", path("child/own"), path("child/same")]);
  execFileSync("cp", ["--reflink=always", path("base/big"), path("child/shared")]);
  assert.deepEqual(await usage("child"), { bytes: 2 * megabyte, inodes: 4 });
  makeInside(path("child/inside"));
  writeFileSync(path("child/inside/more"), Buffer.alloc(megabyte, "w"));
  assert.deepEqual(await usage("child"), { bytes: 3 * megabyte, inodes: 6 });
  assert.deepEqual(await usage("base"), { bytes: 8 * megabyte, inodes: 2 });
});

/** What a program may do to a tree; `pick` chooses among what is there. */
const acts: readonly ((root: string, pick: (list: readonly string[]) => string, at: number) => void)[] = [
  (root, _pick, at) => writeFileSync(join(root, `new-${at}`), "new"),
  (root, pick, at) => writeFileSync(join(root, pick(directories(root)), `new-${at}`), "new"),
  (root, pick) => writeFileSync(join(root, pick(files(root))), "+", { flag: "a" }),
  (root, pick) => rmSync(join(root, pick(files(root)))),
  (root, pick) => rmSync(join(root, pick(directories(root))), { recursive: true }),
  (root, pick, at) => renameSync(join(root, pick(files(root))), join(root, pick(directories(root)), `moved-${at}`)),
  (root, pick, at) => renameSync(join(root, pick(directories(root))), join(root, `moved-${at}`)),
  (root, pick) => {
    const [one, two] = [join(root, pick(directories(root))), join(root, pick(directories(root)))];
    if (one.startsWith(two) || two.startsWith(one)) return;
    renameSync(one, `${root}/between`);
    renameSync(two, one);
    renameSync(`${root}/between`, two);
  },
  (root, pick, at) => linkSync(join(root, pick(files(root))), join(root, pick(directories(root)), `link-${at}`)),
  (root, pick) => chmodSync(join(root, pick([...files(root), ...directories(root)])), 0o711),
  (root, pick) => utimesSync(join(root, pick(files(root))), 1_000_000_000, 1_000_000_000),
  (root, pick) => execFileSync("setfattr", ["-n", "user.own", "-v", "x", join(root, pick([...files(root), ...directories(root)]))]),
  (root, pick, at) => {
    const path = join(root, pick(directories(root)), `inside-${at}`);
    makeInside(path);
    writeFileSync(join(path, "file"), "x");
  },
];
const entries = (root: string) => readdirSync(root, { recursive: true, withFileTypes: true });
const named = (root: string, isDirectory: boolean): readonly string[] =>
  entries(root)
    .filter((entry) => entry.isDirectory() === isDirectory)
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((path) => !/inside-\d+/.test(path))
    .sort();
const files = (root: string): readonly string[] => named(root, false);
const directories = (root: string): readonly string[] => named(root, true);

test.skipIf(reason, "the changes of a snapshot, found by what was touched, are those that a comparison finds", async (current) => {
  const { host, disk, path } = world(current);
  await host.createSubvolume(call, path("base"));
  for (let at = 0; at < 12; at += 1) {
    mkdirSync(path(`base/d${at}/e`), { recursive: true });
    for (const name of ["a", "b", "e/c"]) writeFileSync(path(`base/d${at}/${name}`), `${at} ${name}`);
    linkSync(path(`base/d${at}/a`), path(`base/d${at}/e/a-too`));
  }
  for (let seed = 1; seed <= (isFullRun ? 200 : 20); seed += 1) {
    let state = seed * 7_919;
    const next = (below: number): number => {
      state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
      return (state >> 8) % below;
    };
    const upper = path(`upper-${seed}`);
    await host.snapshotSubvolume(call, path("base"), upper);
    for (let at = 0; at < 1 + next(12); at += 1) acts[next(acts.length)]?.(upper, (list) => list[next(list.length)] ?? "d0", at);
    await host.sync(call, disk.directory);
    const found: string[] = [];
    for (const snapshot of [false, true]) {
      const changes: string[] = [];
      for await (const change of await host.changes(call, path("base"), upper, { snapshot })) changes.push(`${change.kind} ${change.path}`);
      const into = { path: path(`layer-${seed}-${snapshot}`), mediaType: "application/vnd.oci.image.layer.v1.tar" };
      const { diffId } = await host.diff(call, path("base"), upper, into, { snapshot });
      found.push([...changes, diffId].join("\n"));
    }
    assert.equal(found[1], found[0], `seed ${seed}`);
  }
});

test.skipIf(reason, "a limit holds for what is a snapshot's own, and for the subvolumes inside it", async (current) => {
  const { host, disk, path } = world(current);
  assert.equal(await host.subvolumeQuotas(call, disk.directory), "off");
  await host.createSubvolume(call, path("base"));
  await assert.rejects(host.limitSubvolume(call, path("base"), megabyte), coded("Unsupported"));
  await host.limitSubvolume(call, path("base"), null);
  assert.deepEqual(await host.removeQuotaGroups(call, disk.directory, [9_999]), []);
  await host.enableSubvolumeQuotas(call, disk.directory);
  await host.enableSubvolumeQuotas(call, disk.directory);
  const simple = existsSync("/sys/fs/btrfs/features/simple_quota");
  assert.equal(await host.subvolumeQuotas(call, disk.directory), simple ? "simple" : "full");
  writeFileSync(path("base/big"), Buffer.alloc(8 * megabyte, "x"));
  await host.snapshotSubvolume(call, path("base"), path("child"));
  await host.limitSubvolume(call, path("child"), 4 * megabyte);
  await host.limitSubvolume(call, path("child"), 5 * megabyte);
  makeInside(path("child/inside"));
  writeFileSync(path("child/some"), Buffer.alloc(2 * megabyte, "y"));
  assert.throws(() => writeFileSync(path("child/more"), Buffer.alloc(4 * megabyte, "y")), overLimit);
  const more = path(simple ? "child/inside/more" : "child/more");
  assert.throws(() => writeFileSync(more, Buffer.alloc(6 * megabyte, "y")), overLimit);
  setReadOnly(path("child/inside"));
  await host.limitSubvolume(call, path("child"), null);
  writeFileSync(path("child/free"), Buffer.alloc(6 * megabyte, "y"));
  await host.limitSubvolume(call, path("child"), 20 * megabyte);

  const living = await host.listSubvolumes(call, path("child"), most);
  assert.deepEqual(await host.removeQuotaGroups(call, disk.directory, living), []);
  assert.throws(() => writeFileSync(path("child/more"), Buffer.alloc(30 * megabyte, "y")), overLimit, "its group is still there");
  await host.limitSubvolume(call, path("child"), null);
  const ids = [...(await remove(host, path("child"))), ...(await remove(host, path("base")))];
  const held = await host.removeQuotaGroups(call, disk.directory, ids);
  for (const name of disk.quotaGroups()) assert.ok(held.includes(Number(name.split("_")[1])), `${name} is neither removed nor held`);
  await host.awaitSubvolumes(call, disk.directory, ids, 30);
  assert.deepEqual(await host.removeQuotaGroups(call, disk.directory, ids), []);
  assert.deepEqual(disk.quotaGroups(), []);
});
