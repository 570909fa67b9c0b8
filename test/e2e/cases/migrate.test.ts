/** `storage migrate`: images and containers move between storage drivers, whatever happens meanwhile. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Case, mountBtrfs, needsRoot, suite, temporaryDirectory, whyNoBtrfs } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { alive, binary, type Engine, engine, until } from "../src/engine.ts";
import { layer, registry } from "../src/held-registry.ts";

const test = suite("storage migrate", { timeout: 300_000 });
const reason = needsRoot() ?? needsBusybox() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");

/** All that a layer can hold, by the host's tools, in the root of a running container. */
const changes = `
set -e
echo new > plain; chown 12:34 plain; chmod 4755 plain; touch -d '2001-02-03 04:05:06.123456789' plain
ln plain other-name; ln etc/passwd linked-passwd; ln -s nowhere dangling
mkdir -p made/deep; echo x > made/deep/file; setfattr -n user.note -v remark made/deep/file; setfattr -n trusted.note -v secret made
mkfifo made/fifo; mknod made/device c 1 7; chmod 1733 made/fifo
truncate -s 64M sparse; echo end >> sparse
rm srv/gone; rm -r whole; mkdir whole; echo fresh > whole/only
setfattr -n user.note -v kept srv/marked; chmod 600 srv/mode; echo more >> srv/grown
cp made/deep/file "$(printf 'odd\\nname \\\\ \\377')"
setfattr -n user.root -v yes .; chmod 711 .
touch -d '2002-02-03 04:05:06.5' made srv whole made/deep .
`;

/** Everything but what the engine mounts in a container. */
function digest(pid: number): readonly string[] {
  const root = `/proc/${pid}/root`;
  const script = `
cd ${root}
find . -xdev \\( -path ./bin -o -path ./proc -o -path ./dev -o -path ./sys -o -path ./etc/hosts -o -path ./etc/hostname -o -path ./etc/resolv.conf \\) -prune -o -print0 |
sort -z | while IFS= read -r -d '' path; do
  stat -c '%N %A %u:%g %t:%T %y' "$path"
  [ -d "$path" ] || stat -c 'size %s, links %h' "$path"
  getfattr -h -d -m '^(user|security|trusted\\.note)' --absolute-names -e hex "$path" 2>&1
  [ -f "$path" ] && [ ! -L "$path" ] && sha256sum < "$path" && [ "$(stat -c %b "$path")" -gt 10000 ] && echo full
  true
done`;
  return execFileSync("bash", ["-c", script], { encoding: "latin1", maxBuffer: 1 << 26, stdio: ["ignore", "pipe", "pipe"] })
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("# file"));
}

const image = (t: Case): Buffer =>
  busyboxTar(t, (root) => {
    mkdirSync(join(root, "whole/below"), { recursive: true });
    for (const name of ["gone", "marked", "mode", "grown"]) writeFileSync(join(root, "srv", name), `${name}\n`);
    writeFileSync(join(root, "whole/below/lower"), "lower\n");
  });

async function pidOf(own: Engine, name: string): Promise<number> {
  return (await own.inspect(name)).State.Pid;
}

async function changed(own: Engine): Promise<readonly string[]> {
  await own.ok(["run", "-d", "--stop-timeout", "0", "--name", "box", "bb", "sleep", "1000"]);
  execFileSync("bash", ["-c", changes], { cwd: `/proc/${await pidOf(own, "box")}/root`, stdio: "pipe" });
  return restarted(own);
}

/** The tree of the container after one more start, stopped again. */
async function restarted(own: Engine): Promise<readonly string[]> {
  await own.run(["stop", "box"]);
  await own.ok(["start", "box"]);
  const found = digest(await pidOf(own, "box"));
  await own.ok(["stop", "box"]);
  return found;
}

const differences = async (own: Engine): Promise<string> => (await own.ok(["diff", "box"])).trim().split("\n").sort().join("\n");

async function onBtrfs(t: Case): Promise<Engine> {
  const disk = mountBtrfs(1_024);
  t.cleanup(disk.unmount);
  process.env.TSBOX_TEST_ROOT = disk.directory;
  t.cleanup(() => delete process.env.TSBOX_TEST_ROOT);
  return engine(t);
}

interface Use {
  readonly Driver: string;
  readonly Default: string;
  readonly Layers: string;
  readonly Containers: string;
  readonly LeftBehind: string;
}
async function storage(own: Engine, driver: string): Promise<Use | undefined> {
  const lines = (await own.ok(["storage", "ls", "--format", "json"])).trim().split("\n");
  return lines.map((line) => JSON.parse(line) as Use).find(({ Driver }) => Driver === driver);
}

async function there(t: Case, own: Engine, drivers: readonly string[]): Promise<void> {
  await own.ok(["import", "-", "bb"], { input: image(t) });
  const before = await changed(own);
  const differs = await differences(own);
  await own.ok(["create", "--name", "idle", "--mount", "type=image,source=bb,target=/picture", "bb", "cat", "/picture/srv/grown"]);
  for (const [at, to] of drivers.entries()) {
    if (at === 0) continue;
    const from = drivers[at - 1] ?? "";
    const said = await own.ok(["storage", "migrate", "--remove", from, to], { timeout: 120_000 });
    assert.match(said, /^box: Complete$/m);
    assert.match(said, new RegExp(`^Migrated from ${from} to ${to}: 1 layer, 2 containers$`, "m"));
    assert.match(said, new RegExp(`^New containers use ${to} from now on$`, "m"));
    const after = await restarted(own);
    assert.equal(
      [before.filter((line) => !after.includes(line)), after.filter((line) => !before.includes(line))],
      [[], []],
      `${from} to ${to}`,
    );
    assert.equal(after, before, `${from} to ${to}`);
    assert.is(await differences(own), differs, `${from} to ${to}`);
    assert.is(await own.ok(["start", "-a", "idle"]), "grown\n");
    assert.is(await own.ok(["run", "--rm", "bb", "cat", "/whole/below/lower"]), "lower\n");
    assert.equal(
      readdirSync(join(own.root, `storage-${from}/active`)).filter((name) => name.startsWith("container-")),
      [],
    );
    assert.equal(readdirSync(join(own.root, `storage-${from}/committed`)), []);
    const use = await storage(own, to);
    assert.equal([use?.Default, use?.Layers, use?.Containers, use?.LeftBehind], ["yes", "1", "2", "0"]);
  }
}

test.skipIf(reason, "a container is the same under the next driver, and back again", async (t) => {
  const own = await engine(t);
  await there(t, own, ["overlay", "vfs", "overlay"]);
  await own.stop();
  await own.start();
  assert.match(await own.ok(["info", "--why"]), /^storage: overlay: this host's record of drivers names it$/m);
});

test.skipIf(reason ?? whyNoBtrfs(), "over btrfs, too", async (t) => {
  const own = await onBtrfs(t);
  await there(t, own, ["overlay", "btrfs", "vfs", "overlay"]);
});

test.skipIf(reason, "what runs is refused by name, or stopped and started again; a dry run says what would be done", async (t) => {
  const own = await engine(t);
  await own.ok(["import", "-", "bb"], { input: busyboxTar(t) });
  await own.ok(["run", "-d", "--stop-timeout", "0", "--name", "web", "bb", "sleep", "1000"]);
  await own.ok(["create", "--name", "idle", "bb", "true"]);
  await own.ok(["run", "-d", "--rm", "--name", "brief", "bb", "sleep", "1000"]);
  const refused = await own.run(["storage", "migrate", "--stop", "overlay", "vfs"]);
  assert.is(refused.code, 1);
  assert.is(refused.stderr, "tsbox: nothing was migrated: container brief runs with --rm, so its end removes it: stop it\n");
  await own.ok(["rm", "-f", "brief"]);
  const running = await own.run(["storage", "migrate", "overlay", "vfs"]);
  assert.is(running.code, 1);
  assert.match(running.stderr, /^tsbox: nothing was migrated: container web is running: stop it, or give --stop, which starts it again\n$/);

  const dry = await own.run(["storage", "migrate", "--dry-run", "overlay", "vfs"]);
  assert.is(dry.code, 1);
  assert.match(dry.stdout, /^layer +[0-9a-f]{12} +\S+ +unpacked from its blob$/m);
  assert.match(dry.stdout, /^container +web +\S+ +stopped, copied, started$/m);
  assert.match(dry.stdout, /^vfs needs \S+, and up to \S+ if it copies each snapshot as a whole; \S+ more /m);
  assert.match(dry.stdout, /^refused: container web is running/m);
  const plan = JSON.parse(await own.ok(["storage", "migrate", "--dry-run", "--stop", "--format", "json", "overlay", "vfs"]));
  assert.equal([plan.Layers.length, plan.Containers.length, plan.Refusals], [1, 2, []]);
  assert.ok(plan.Bytes > 1_000_000 && plan.WholeBytes > plan.Bytes);
  assert.equal(
    readdirSync(join(own.root, "storage-vfs")).flatMap((name) =>
      name === "active" ? readdirSync(join(own.root, "storage-vfs/active")) : [],
    ),
    [],
  );

  const before = await pidOf(own, "web");
  const lines = (await own.ok(["storage", "migrate", "--stop", "--format", "json", "overlay", "vfs"])).trim().split("\n");
  const said = lines.map((text) => JSON.parse(text) as { readonly id?: string; readonly status: string });
  assert.equal(
    said.filter(({ id, status }) => id === "web" && status !== "Copying").map(({ status }) => status),
    ["Stopping", "Complete", "Started"],
  );
  assert.is.not(await pidOf(own, "web"), before);
  assert.is(await own.ok(["inspect", "--format", "{{.State.Status}} {{.Driver}}", "web"]), "running vfs\n");

  // Without --remove all stays where it was, until the container is removed or somebody says so.
  assert.is((await storage(own, "overlay"))?.LeftBehind, "2");
  await own.ok(["rm", "-f", "web"]);
  assert.is((await storage(own, "overlay"))?.LeftBehind, "1");
  const again = await own.ok(["storage", "migrate", "--remove", "overlay", "vfs"]);
  assert.match(again, /^Removed from overlay: 2 snapshots, \d+ bytes$/m);
  assert.equal([(await storage(own, "overlay"))?.LeftBehind, (await storage(own, "overlay"))?.Layers], ["0", "0"]);

  for (const [words, why] of [
    [["overlay", "zfs"], /no storage driver is called zfs; installed: /],
    [["vfs", "vfs"], /both storage drivers are vfs: give two different ones/],
  ] as const) {
    const wrong = await own.run(["storage", "migrate", ...words]);
    assert.is(wrong.code, 1);
    assert.match(wrong.stderr, why);
  }
  // Other programs ask over HTTP.
  const http = (...words: readonly string[]): string =>
    execFileSync("curl", ["-sS", "--max-time", "20", "--unix-socket", own.socket, ...words], { encoding: "utf8" });
  const list = JSON.parse(http("http://x/v1.51/tsbox/v1/storage")) as readonly { readonly Driver: string; readonly Default: boolean }[];
  assert.equal(
    list.filter((one) => one.Default).map((one) => one.Driver),
    ["vfs"],
  );
  assert.is(JSON.parse(http("http://x/tsbox/v1/storage/plan?from=vfs&to=overlay")).Containers.length, 1);
  assert.match(http("-X", "POST", "http://x/tsbox/v1/storage/migrate?from=vfs"), /no storage driver is named: give to/);
  assert.match(
    http("-X", "POST", "http://x/tsbox/v1/storage/migrate?from=vfs&to=overlay"),
    /"status":"Migrated from vfs to overlay: 1 layer, 1 container"/,
  );
});

test.skipIf(reason ?? whyNoBtrfs(), "a size limit is refused where it can't be held", async (t) => {
  const own = await onBtrfs(t);
  await own.ok(["import", "-", "bb"], { input: busyboxTar(t) });
  await own.ok(["create", "--name", "limited", "--storage", "btrfs", "--storage-opt", "size=50m", "bb", "true"]);
  const refused = await own.run(["storage", "migrate", "btrfs", "vfs"]);
  assert.is(refused.code, 1);
  assert.match(refused.stderr, /container limited has a size limit, which the storage driver vfs can't hold here: commit it and remove it/);
});

test.skipIf(reason, "an image that was removed while a container stands on it moves by what the driver has", async (t) => {
  const own = await engine(t);
  await own.ok(["import", "-", "bb"], { input: image(t) });
  const before = await changed(own);
  await own.ok(["rmi", "-f", "bb"]);
  await own.ok(["storage", "migrate", "--remove", "overlay", "vfs"]);
  assert.equal(await restarted(own), before);
  await own.ok(["rm", "-f", "box"]);
  await until(async () => (await storage(own, "vfs"))?.Layers === "0", "the layer of the removed image to go");
});

test.skipIf(reason, "kill -9 of the daemon at any point loses nothing, and the next call goes on", async (t) => {
  const { host } = await registry(t, { image: [layer(t, "low", 3_000_000), layer(t, "high", 3_000_000)] });
  const own = await engine(t);
  await own.ok(["pull", `${host}/image`]);
  await own.ok(["import", "-", "bb"], { input: image(t) });
  const before = await changed(own);
  const differs = await differences(own);
  for (const name of ["one", "two"])
    await own.ok(["run", "--name", name, "bb", "sh", "-c", `head -c 3000000 /dev/urandom > /noise; echo ${name} > /mine`]);
  const held = (path: string): readonly string[] => {
    const directory = join(own.root, path);
    return existsSync(directory) ? readdirSync(directory) : [];
  };
  const moved = (from: string): number => 3 - held(`storage-${from}/active`).filter((name) => name.startsWith("container-")).length;
  const points: readonly (readonly [string, () => boolean])[] = [
    ["a layer is being made", () => held("storage-vfs/active").some((name) => /^(unpack|carry)-/.test(name))],
    ["a layer is there", () => held("storage-vfs/committed").length > 0],
    ["a container is being copied", () => held("storage-vfs/active").some((name) => name.startsWith("container-"))],
    ["changes are on their way", () => existsSync(join(own.root, "containers/migration.tar"))],
    ["a container has moved", () => moved("overlay") === 1],
    ["two have", () => moved("overlay") === 2],
  ];
  for (const [what, reached] of points) {
    const { ended } = own.client(["storage", "migrate", "--remove", "overlay", "vfs"]);
    let over = false;
    void ended.then(() => (over = true));
    while (!over && !reached()) await new Promise((resolve) => setImmediate(resolve));
    const daemon = own.daemonPid();
    process.kill(daemon, "SIGKILL");
    await until(() => !alive(daemon), "the daemon to die");
    await ended;
    assert.is((await own.ok(["ps", "-aq"])).trim().split("\n").length, 3, what);
    assert.is(await differences(own), differs, what);
    for (const name of ["one", "two"]) assert.match(await own.ok(["diff", name]), /^A \/noise$/m, what);
    assert.is(existsSync(join(own.root, "containers/migration.tar")), false, what);
  }
  await own.ok(["storage", "migrate", "--remove", "overlay", "vfs"]);
  assert.equal(await restarted(own), before);
  const target = join(temporaryDirectory(t), "mine");
  await own.ok(["cp", "two:/mine", target]);
  assert.is(readFileSync(target, "utf8"), "two\n");
  assert.equal([held("storage-overlay/committed"), moved("overlay")], [[], 3]);
  assert.is(await own.ok(["system", "check"]), "");
});

test.skipIf(reason, "a full disk in the middle is an error that loses nothing, and with more room the next call goes on", async (t) => {
  const own = await engine(t);
  await own.ok(["import", "-", "bb"], { input: image(t) });
  const before = await changed(own);
  await own.ok(["run", "--name", "large", "bb", "sh", "-c", "head -c 20000000 /dev/urandom > /noise"]);
  await own.stop();
  const directory = join(own.root, "storage-vfs");
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=16m", "tmpfs", directory]);
  t.cleanup(() => execFileSync("umount", ["-l", directory]));
  await own.start();
  const full = await own.run(["storage", "migrate", "--remove", "overlay", "vfs"]);
  assert.is(full.code, 1);
  assert.match(
    full.stderr,
    /^tsbox: container large could not be migrated, and is as it was: .*[Nn]o space left.*; the same command goes on from here\n$/,
  );
  assert.is(await own.ok(["inspect", "--format", "{{.Driver}}", "large"]), "overlay\n");
  assert.match(await own.ok(["diff", "large"]), /^A \/noise$/m);
  execFileSync("mount", ["-o", "remount,size=200m", directory]);
  await own.ok(["storage", "migrate", "--remove", "overlay", "vfs"]);
  assert.equal(await restarted(own), before);
  assert.is(await own.ok(["inspect", "--format", "{{.Driver}}", "large"]), "vfs\n");
  // Back, since the disk goes with the test.
  await own.ok(["storage", "migrate", "--remove", "vfs", "overlay"]);
});
