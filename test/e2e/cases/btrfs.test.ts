/** An engine whose root lies on btrfs: a container's life in subvolumes, and nothing of it left. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BtrfsDisk, type Case, mountBtrfs, suite, temporaryDirectory, whyNoBtrfs } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { alive, binary, type Engine, engine, until } from "../src/engine.ts";
import { layer, registry } from "../src/held-registry.ts";

const test = suite("btrfs", { timeout: 180_000 });
const reason = whyNoBtrfs() ?? needsBusybox() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");

/** The engine's root is on the disk, and gone before the disk is unmounted. */
async function onBtrfs(t: Case, config: string | null = null): Promise<{ readonly own: Engine; readonly disk: BtrfsDisk }> {
  const disk = mountBtrfs(1_024);
  t.cleanup(disk.unmount);
  process.env.TSBOX_TEST_ROOT = disk.directory;
  const own = await engine(t, config);
  // Layers of images are read-only subvolumes, which only the engine removes.
  t.cleanup(async () => {
    if (!own.running) return;
    const ids = (await own.run(["ps", "-aq"])).stdout.split("\n").filter(Boolean);
    if (ids.length > 0) await own.run(["rm", "-f", ...ids]);
    await own.run(["system", "prune", "-af"]);
    await nothingLeft(own, disk);
  });
  return { own, disk };
}

/** The engine removes trees in the background, and the kernel frees subvolumes in its own time, unless a sync wakes it. */
async function nothingLeft(own: Engine, disk: BtrfsDisk): Promise<void> {
  const left = (): readonly string[] => {
    execFileSync("btrfs", ["filesystem", "sync", disk.directory]);
    const folders = ["active", "view", "committed", "making", "removed", "groups"];
    return [
      ...disk.subvolumes().map((id) => `subvolume ${id}`),
      ...disk.quotaGroups().map((id) => `quota group ${id}`),
      ...folders.flatMap((folder) => readdirSync(join(own.root, "storage-btrfs", folder)).map((name) => `${folder}/${name}`)),
    ];
  };
  await until(
    () => left().length === 0,
    () => `these to go: ${left().join(", ")}`,
    60_000,
  );
}

function configured(t: Case): string {
  const path = join(temporaryDirectory(t), "config.json");
  writeFileSync(path, '{"drivers": {"storage": "btrfs"}}');
  return path;
}

/** Kills the daemon, and waits for the next one. */
async function killDaemon(own: Engine): Promise<void> {
  const daemon = own.daemonPid();
  process.kill(daemon, "SIGKILL");
  await until(() => !alive(daemon), "the daemon to die");
  await own.ok(["version"]);
}

const treeOf = (own: Engine, id: string): string => join(own.root, "storage-btrfs/active", `container-${id.trim()}`, "fs");
const makeInside = (path: string): unknown => execFileSync("btrfs", ["subvolume", "create", path]);

test.skipIf(reason, "run, diff, cp, commit, size limits and rm, with a daemon that is killed in between, leave nothing", async (t) => {
  const { own, disk } = await onBtrfs(t, configured(t));
  await own.ok(["import", "-", "bb"], { input: busyboxTar(t) });
  assert.match(await own.ok(["info"]), /Storage Driver: btrfs/);

  const id = await own.ok(["run", "-d", "--name", "box", "bb", "sh", "-c", "echo one > /srv/one; rm -r /tmp; sleep 1000"]);
  await until(async () => (await own.run(["exec", "box", "test", "!", "-e", "/tmp"])).code === 0, "the container's changes");
  makeInside(join(treeOf(own, id), "srv/inside"));
  await own.ok(["exec", "box", "sh", "-c", "echo two > /srv/inside/two"]);
  const changes = ["C /srv", "A /srv/inside", "A /srv/inside/two", "A /srv/one", "D /tmp"];
  assert.equal((await own.ok(["diff", "box"])).trim().split("\n").sort(), [...changes].sort());
  await killDaemon(own);
  assert.equal((await own.ok(["diff", "box"])).trim().split("\n").sort(), [...changes].sort());
  const copied = join(temporaryDirectory(t), "two");
  await own.ok(["cp", "box:/srv/inside/two", copied]);
  assert.is(readFileSync(copied, "utf8"), "two\n");
  await own.ok(["cp", copied, "box:/srv/three"]);
  await own.ok(["commit", "box", "changed"]);
  assert.is(
    await own.ok(["run", "--rm", "changed", "sh", "-c", "cat /srv/*; cat /srv/inside/two; ls -d /tmp 2>&1 | wc -l"]),
    "one\ntwo\ntwo\n1\n",
  );
  assert.is(await own.ok(["run", "--rm", "--userns", "private", "changed", "sh", "-c", "stat -c %u /srv/one; id -u"]), "0\n0\n");

  // The limit is the container's own: the image, which is larger than a mebibyte, does not count.
  const full = ["sh", "-c", "dd if=/dev/zero of=/full bs=1M count=20; echo $?; rm /full && echo room > /again && cat /again"];
  const limited = await own.run(["run", "--name", "limited", "--storage-opt", "size=8m", "bb", ...full]);
  assert.is(limited.stdout, "1\nroom\n");
  assert.match(limited.stderr, /Disk quota exceeded/);
  await killDaemon(own);
  assert.is((await own.run(["start", "-a", "limited"])).stdout, "1\nroom\n");
  await own.ok(["commit", "limited", "unlimited"]);
  assert.is(await own.ok(["run", "--rm", "unlimited", "sh", "-c", "head -c 20000000 /dev/zero | wc -c > /n; cat /n"]), "20000000\n");

  await own.ok(["rm", "-f", "box", "limited"]);
  await killDaemon(own);
  await own.ok(["rmi", "-f", "bb", "changed", "unlimited"]);
  await nothingLeft(own, disk);
});

test.skipIf(reason, "containers that are removed by their end leave nothing", async (t) => {
  const { own, disk } = await onBtrfs(t, configured(t));
  await own.ok(["import", "-", "bb"], { input: busyboxTar(t) });
  const limited = ["run", "--rm", "--storage-opt", "size=8m", "bb", "sh", "-c", "echo x > /x"];
  await Promise.all(Array.from({ length: 4 }, () => own.ok(limited)));
  await own.ok(["rmi", "bb"]);
  await nothingLeft(own, disk);
});

test.skipIf(
  reason,
  "overlay comes first on btrfs, and an image that was pulled under it runs under btrfs without another download",
  async (t) => {
    const { own, disk } = await onBtrfs(t);
    assert.match(await own.ok(["info"]), /Storage Driver: overlay/);
    let blobs = 0;
    const { host } = await registry(t, { image: [layer(t, "low", 100_000), layer(t, "high", 100_000)] }, null, (request) => {
      if (request.url?.includes("/blobs/")) blobs += 1;
      return false;
    });
    await own.ok(["pull", `${host}/image`]);
    await own.ok(["import", "-", "bb"], { input: busyboxTar(t) });
    const pulled = blobs;
    assert.is(await own.ok(["run", "--rm", "bb", "echo", "overlay"]), "overlay\n");
    await own.ok(["create", "--name", "box", "--storage", "btrfs", `${host}/image`, "/nothing"]);
    assert.is(await own.ok(["run", "--rm", "--storage", "btrfs", "bb", "echo", "btrfs"]), "btrfs\n");
    assert.is(blobs, pulled);
    assert.equal(readdirSync(join(own.root, "storage-btrfs/committed")).length, 3);
    const target = join(temporaryDirectory(t), "high");
    await own.ok(["cp", "box:/srv/high", target]);
    assert.is(readFileSync(target).length >= 100_000, true);
    assert.is(await own.ok(["system", "check"]), "");
    await own.ok(["rm", "box"]);
    await own.ok(["rmi", "-f", "bb", `${host}/image`]);
    await nothingLeft(own, disk);
  },
);

test.skipIf(reason, "a host without btrfs says so", async (t) => {
  delete process.env.TSBOX_TEST_ROOT;
  const own = await engine(t);
  const asked = await own.run(["run", "--rm", "--storage", "btrfs", "host:/", "true"]);
  assert.is(asked.code, 125);
  assert.match(asked.stderr, /does not lie on btrfs; mount a btrfs there/);
});
