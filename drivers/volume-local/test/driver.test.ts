/** The features of volume-local alone: the options of Docker's `local` driver, and its state after a crash. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openDriver, openToolkit } from "@tsbox/conformance";
import { type Case, suite, temporaryDirectory } from "@tsbox/harness";
import { createCall, isTsboxError, newContainerId, silentLog, type VolumeDriver, withMounts } from "@tsbox/kernel";
import * as assert from "uvu/assert";
import plugin from "../src/index.ts";
import { parseOptions } from "../src/options.ts";

const test = suite("volume-local");
const toolkit = await openToolkit();
const reason = "skip" in toolkit ? toolkit.skip : null;
const call = createCall(silentLog);
const user = newContainerId();
const other = newContainerId();

async function open(test: Case, directory: string): Promise<VolumeDriver> {
  if ("skip" in toolkit) throw new Error(toolkit.skip);
  const { value, close } = await openDriver(plugin, "volume", "local", { directory, services: { host: toolkit.host } });
  test.cleanup(close);
  return value;
}

test("options are Docker's, and are refused with its messages", () => {
  assert.is(parseOptions("v", {}), null);
  assert.equal(parseOptions("v", { type: "none", o: "bind,ro", device: "/x" }), {
    kind: "bound",
    directory: "/x",
    options: ["bind", "ro"],
  });
  assert.equal(parseOptions("v", { type: "nfs", o: "addr=10.0.0.1,rw", device: ":/export" }), {
    kind: "mounted",
    type: "nfs",
    device: ":/export",
    options: ["addr=10.0.0.1", "rw"],
  });
  for (const [options, words] of [
    [{ foo: "1" }, /^create v: invalid option: "foo"/],
    [{ type: "tmpfs" }, /^create v: missing required option: "device"/],
    [{ o: "bind" }, /^create v: missing required option: "device"/],
    [{ device: "/x" }, /^create v: missing required option: "type"/],
    [{ size: "1g" }, /^create v: quota size requested but no quota support/],
    [{ type: "none", o: "bind", device: "relative" }, /absolute path/],
    [{ type: "-t", device: "x" }, /invalid value for option "type"/],
  ] as const)
    assert.throws(
      () => parseOptions("v", options),
      (error: unknown) => isTsboxError(error) && error.code === "InvalidArgument" && words.test(error.message),
    );
});

test.skipIf(reason, "a tmpfs lives from its first user to its last, on the host's mount table for no longer", async (t) => {
  if ("skip" in toolkit) return;
  const directory = temporaryDirectory(t);
  const driver = await open(t, directory);
  await driver.create(call, "memory", { type: "tmpfs", device: "tmpfs", o: "size=1m" });
  const { mountpoint } = await driver.stat(call, "memory");
  const mounted = (): number => readFileSync("/proc/self/mountinfo", "utf8").split(` ${mountpoint} `).length - 1;
  assert.is(mounted(), 0);
  const mount = await driver.attach(call, "memory", user);
  assert.is(mounted(), 1);
  await withMounts(call, toolkit.host, [mount], async (root) => writeFileSync(join(root, "f"), "x"));
  const again = await open(t, directory);
  await again.attach(call, "memory", other);
  assert.is(mounted(), 1, "another daemon finds it mounted");
  await again.detach(call, "memory", user);
  await withMounts(call, toolkit.host, [mount], async (root) => assert.equal(readdirSync(root), ["f"]));
  await again.detach(call, "memory", other);
  assert.is(mounted(), 0);
});

test.skipIf(reason ?? noLoop(), "a file system in a file: mounted while it is used, whole afterwards, no loop device left", async (t) => {
  if ("skip" in toolkit) return;
  const directory = temporaryDirectory(t, "/var/tmp");
  const image = join(directory, "image");
  execFileSync("truncate", ["-s", "16M", image]);
  execFileSync("mkfs.ext4", ["-q", image]);
  const driver = await open(t, directory);
  await driver.create(call, "disk", { type: "ext4", device: image, o: "loop,noatime" });
  const write = await driver.attach(call, "disk", user);
  await withMounts(call, toolkit.host, [write], async (root) => writeFileSync(join(root, "kept"), "x"));
  assert.ok((await driver.usage(call, "disk")).bytes > 0);
  await driver.detach(call, "disk", user);
  assert.is(execFileSync("losetup", ["-j", image], { encoding: "utf8" }), "");
  assert.is(
    await driver.usage(call, "disk").then(
      () => "known",
      (error: unknown) => isTsboxError(error) && error.code,
    ),
    "Unsupported",
  );
  const again = await driver.attach(call, "disk", other);
  await withMounts(call, toolkit.host, [again], async (root) => assert.ok(existsSync(join(root, "kept"))));
  await driver.detach(call, "disk", other);
  await driver.remove(call, "disk");
});

function noLoop(): string | null {
  if (!existsSync("/dev/loop-control")) return "this host has no loop devices";
  return existsSync("/sbin/mkfs.ext4") || existsSync("/usr/sbin/mkfs.ext4") ? null : "not installed: e2fsprogs";
}

test.skipIf(reason, "a file system that can't be mounted is reported with mount's message, and nothing is attached", async (t) => {
  const driver = await open(t, temporaryDirectory(t));
  await driver.create(call, "wrong", { type: "ext4", device: "/no/such/device" });
  const error = await driver.attach(call, "wrong", user).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  assert.ok(isTsboxError(error) && error.code === "FailedPrecondition");
  assert.match(String(error), /failed to mount local volume: mount \/no\/such\/device:/);
  assert.equal((await driver.stat(call, "wrong")).users, []);
  await driver.remove(call, "wrong");
});

test.skipIf(
  reason,
  "what a crash left half made or half removed is gone with the next opening, and no directory of the host with it",
  async (t) => {
    const directory = temporaryDirectory(t);
    const root = join(directory, "root");
    const driver = await open(t, directory);
    const foreign = temporaryDirectory(t);
    writeFileSync(join(foreign, "kept"), "");
    await driver.create(call, "bound", { type: "none", o: "bind", device: foreign });
    mkdirSync(join(mkdtempSync(join(root, ".tsbox-gone-")), "volume/_data"), { recursive: true });
    mkdtempSync(join(root, ".tsbox-new-"));
    await open(t, directory);
    assert.equal(readdirSync(root), ["bound"]);
    await driver.remove(call, "bound");
    assert.ok(existsSync(join(foreign, "kept")));
    rmSync(root, { recursive: true });
  },
);

test("the toolkit closes", async () => {
  if (!("skip" in toolkit)) await toolkit.close();
});
