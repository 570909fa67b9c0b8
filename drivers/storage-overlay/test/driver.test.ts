/** The promises of overlay alone: the form of its mounts, its limit, its probe. The conformance suite checks the rest. */
import assert from "node:assert/strict";
import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openDriver, openToolkit } from "@tsbox/conformance";
import { suite, temporaryDirectory } from "@tsbox/harness";
import {
  type ActiveKey,
  createCall,
  isTsboxError,
  type SnapshotName,
  type StorageDriver,
  silentLog,
  supports,
  type ViewKey,
  withMounts,
} from "@tsbox/kernel";
import plugin from "../src/index.ts";

const toolkit = await openToolkit();
const reason = "skip" in toolkit ? toolkit.skip : null;
const test = suite("storage-overlay");
const call = createCall(silentLog);
const key = (text: string): ActiveKey => text as ActiveKey;
const named = (text: string): SnapshotName => text as SnapshotName;

async function open(directory: string): Promise<{ readonly value: StorageDriver; close(): Promise<void> }> {
  if ("skip" in toolkit) throw new Error(toolkit.skip);
  return openDriver(plugin, "storage", "overlay", { directory, services: { host: toolkit.host } });
}

test.skipIf(reason, "mounts name the lowers one by one, the topmost first", async (test) => {
  const directory = temporaryDirectory(test);
  const { value: driver, close } = await open(directory);
  test.cleanup(close);
  await driver.prepare(call, key("a"), null);
  await driver.commit(call, named("one"), key("a"));
  await driver.prepare(call, key("b"), named("one"));
  await driver.commit(call, named("two"), key("b"));
  const own = `${directory}/root`;
  const [mount, ...rest] = await driver.prepare(call, key("c"), named("two"));
  assert.deepEqual(rest, []);
  assert.deepEqual(mount?.options.slice(0, 4), [
    `lowerdir+=${own}/committed/two/fs`,
    `lowerdir+=${own}/committed/one/fs`,
    `upperdir=${own}/active/c/fs`,
    `workdir=${own}/active/c/work`,
  ]);
  const [view] = await driver.view(call, "v" as ViewKey, named("one"));
  assert.equal(view?.options.filter((option) => option.startsWith("lowerdir+=")).length, 2, "overlayfs wants two lowers without an upper");
  assert.ok(view?.options.includes("ro"));
});

test.skipIf(reason, "more than 500 layers are refused with a message", async (test) => {
  const { value: driver, close } = await open(temporaryDirectory(test));
  test.cleanup(close);
  let parent: SnapshotName | null = null;
  for (let at = 0; at < 500; at++) {
    await driver.prepare(call, key(`a${at}`), parent, { volatile: true });
    await driver.commit(call, named(`l${at}`), key(`a${at}`));
    parent = named(`l${at}`);
  }
  await driver.prepare(call, key("last"), parent, { volatile: true });
  await assert.rejects(
    driver.commit(call, named("l500"), key("last")),
    (error) =>
      isTsboxError(error) &&
      error.code === "FailedPrecondition" &&
      error.reason === "storage-overlay/too-many-lowers" &&
      /501 layers.*500/.test(error.message),
  );
  assert.equal((await driver.stat(call, key("last"))).kind, "active");
});

test.skipIf(reason, "over layers of two file systems, inode numbers are unique, and stay when a file is written", async (test) => {
  if ("skip" in toolkit) return;
  const { host } = toolkit;
  const [directory, foreign] = [temporaryDirectory(test), temporaryDirectory(test, "/dev/shm")];
  if (statSync(directory).dev === statSync(foreign).dev) return test.skip("there is one file system");
  for (const name of ["one", "two"]) writeFileSync(join(foreign, name), name);
  const { value: driver, close } = await open(directory);
  test.cleanup(close);
  if (supports(driver, "adopt")) await driver.adopt(call, named("foreign"), foreign);
  await withMounts(call, host, await driver.prepare(call, key("a"), named("foreign")), async (root) => {
    writeFileSync(join(root, "own"), "x");
    const before = ["one", "two", "own"].map((name) => statSync(join(root, name), { bigint: true }));
    assert.equal(new Set(before.map(({ dev }) => dev)).size, 1, "all files are of one device");
    assert.equal(new Set(before.map(({ ino }) => ino)).size, 3, "numbers are unique");
    writeFileSync(join(root, "one"), "changed");
    const { ino, dev } = statSync(join(root, "one"), { bigint: true });
    assert.deepEqual([ino, dev], [before[0]?.ino, before[0]?.dev]);
  });
  const again = await driver.mounts(call, key("a"));
  const number = (root: string) => statSync(join(root, "two"), { bigint: true }).ino;
  const seen = await withMounts(call, host, again, async (root) => number(root));
  assert.equal(await withMounts(call, host, await driver.mounts(call, key("a")), async (root) => number(root)), seen);
});

test("config is refused", () => {
  assert.equal(plugin.parseConfig({}), null);
  assert.throws(() => plugin.parseConfig({ size: 1 }), /takes no config/);
});

test.skipIf(reason, "the toolkit closes", async () => {
  if (!("skip" in toolkit)) await toolkit.close();
});
