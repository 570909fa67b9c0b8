/** The promises of the device mapper alone; the conformance suite checks the rest. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statfsSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { conformanceEngine, openToolkit } from "@tsbox/conformance";
import { type Case, suite, temporaryDirectory } from "@tsbox/harness";
import {
  type ActiveKey,
  createCall,
  type HostToolkit,
  isTsboxError,
  type Mount,
  type SnapshotName,
  silentLog,
  type ViewKey,
  withMounts,
} from "@tsbox/kernel";
import { DeviceMapperDriver } from "../src/driver.ts";
import plugin from "../src/index.ts";
import { Numbers, numberCount } from "../src/internal/numbers.ts";
import { checkRoom, parseStatus } from "../src/internal/pool-status.ts";
import { probe } from "../src/probe.ts";
import { parseSettings } from "../src/settings.ts";

const toolkit = await openToolkit();
const test = suite("storage-devicemapper", { timeout: 300_000 });
const call = createCall(silentLog);
const reason = await whyNot();
const key = (text: string): ActiveKey => text as ActiveKey;
const named = (text: string): SnapshotName => text as SnapshotName;
const megabyte = 1 << 20;
const small = { dataSize: "600m", metadataSize: "16m", baseSize: "512m" };
/** Milliseconds. A pool that makes its writers wait does so for a minute. */
const soon = 30_000;

async function whyNot(): Promise<string | null> {
  if ("skip" in toolkit) return toolkit.skip;
  const answer = await probe(call, toolkit.host, parseSettings({}));
  return answer.usable ? null : answer.reason;
}

interface World {
  readonly host: HostToolkit;
  readonly directory: string;
  /** Another driver over the same directory, as after a crash. */
  again(config?: object): Promise<DeviceMapperDriver>;
}

function world(current: Case): World {
  if ("skip" in toolkit) return current.skip(toolkit.skip);
  const { host } = toolkit;
  const directory = temporaryDirectory(current);
  const drivers: DeviceMapperDriver[] = [];
  current.cleanup(async () => {
    for (const driver of drivers) await driver.close(call);
    assert.deepEqual(devices(), [], "devices are left");
    assert.deepEqual(loops(directory), [], "loop devices are left");
  });
  const again = async (config: object = small): Promise<DeviceMapperDriver> => {
    const settings = parseSettings(config);
    const driver = new DeviceMapperDriver({ host, directory, engineId: conformanceEngine, settings, makeCall: () => call });
    drivers.push(driver);
    await driver.recover(call);
    return driver;
  };
  return { host, directory, again };
}

/** The names of the mapped devices of the suite's engine, and their nodes. */
function devices(): readonly string[] {
  const names = readdirSync("/sys/block").map((name) => read(join("/sys/block", name, "dm/name")));
  return [...names, ...readdirSync("/dev/mapper")].filter((name) => name.includes(conformanceEngine));
}
function loops(directory: string): readonly string[] {
  return readdirSync("/sys/block").filter((name) => read(join("/sys/block", name, "loop/backing_file")).startsWith(directory));
}
function read(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8").trim() : "";
}

const within = <T>({ host }: World, mounts: readonly Mount[], work: (root: string) => T): Promise<T> =>
  withMounts(call, host, mounts, async (root) => work(root));
const coded =
  (code: string, words = /./) =>
  (error: unknown) =>
    isTsboxError(error) && error.code === code && words.test(error.message);

/** Writes until nothing more can be written; answers the bytes. */
function fill(path: string, most: number): number {
  const block = Buffer.alloc(4 * megabyte, "x");
  let written = 0;
  try {
    for (; written < most; written += block.length) {
      writeFileSync(path, block, { flag: "a", flush: true });
    }
  } catch (error) {
    assert.ok(["ENOSPC", "EIO", "EROFS"].includes((error as NodeJS.ErrnoException).code ?? ""), String(error));
  }
  return written;
}

for (const fileSystem of ["xfs", "ext4"])
  test.skipIf(reason, `a full pool is an error within seconds, and works again when something is removed (${fileSystem})`, async (t) => {
    const own = world(t);
    const driver = await own.again({ ...small, fileSystem });
    await driver.prepare(call, key("a"), null);
    await driver.commit(call, named("l"), key("a"));
    for (const name of ["b", "c"]) await driver.prepare(call, key(name), named("l"));
    const since = Date.now();
    // Each device is smaller than the pool, both together are not.
    for (const name of ["b", "c"]) {
      const mounts = await driver.mounts(call, key(name));
      const written = await within(own, mounts, (root) => fill(join(root, "full"), 600 * megabyte));
      assert.ok(written < 600 * megabyte, `${written} bytes were written`);
    }
    assert.ok(Date.now() - since < 4 * soon, `it took ${Date.now() - since} ms to meet the end of the pool`);
    const refused = Date.now();
    await assert.rejects(driver.prepare(call, key("d"), named("l")), coded("ResourceExhausted", /of its data space left/));
    assert.ok(Date.now() - refused < soon);
    assert.match((await driver.report(call)).warnings.join("\n"), /strongly discouraged/);
    await driver.remove(call, key("b"));
    await driver.reclaim(call);
    await driver.remove(call, key("c"));
    await driver.reclaim(call);
    const mounts = await driver.prepare(call, key("e"), named("l"));
    await within(own, mounts, (root) => writeFileSync(join(root, "new"), Buffer.alloc(megabyte), { flush: true }));
    // The file below the pool has its space back.
    assert.ok(statSync(join(own.directory, "pool/data")).blocks * 512 < 300 * megabyte);
  });

test.skipIf(reason, "a container whose pool was full goes on where it stopped, when the pool is larger and it starts again", async (t) => {
  const own = world(t);
  const driver = await own.again({ ...small, baseSize: "1g" });
  const mounts = await driver.prepare(call, key("a"), null);
  const written = await within(own, mounts, (root) => {
    writeFileSync(join(root, "before"), "x", { flush: true });
    return fill(join(root, "full"), 1_000 * megabyte);
  });
  assert.ok(written < 600 * megabyte, `${written} bytes were written`);
  await driver.close(call);
  assert.deepEqual(devices(), []);
  const next = await own.again({ ...small, dataSize: "1200m" });
  await within(own, await next.mounts(call, key("a")), (root) => {
    assert.equal(readFileSync(join(root, "before"), "utf8"), "x");
    rmSync(join(root, "full"));
    writeFileSync(join(root, "again"), Buffer.alloc(8 * megabyte), { flush: true });
  });
});

test.skipIf(
  reason,
  "a size is the container's own: it does not count the image, and grows a device that is too small for it",
  async (t) => {
    const own = world(t);
    const driver = await own.again();
    const image = await driver.prepare(call, key("i"), null);
    await within(own, image, (root) => writeFileSync(join(root, "image"), Buffer.alloc(20 * megabyte, "i")));
    await driver.commit(call, named("l"), key("i"));
    const limited = await driver.prepare(call, key("a"), named("l"), { quotaBytes: 16 * megabyte });
    await within(own, limited, (root) => {
      assert.ok(fill(join(root, "full"), 64 * megabyte) <= 16 * megabyte);
      assert.equal(readFileSync(join(root, "image")).length, 20 * megabyte);
    });
    const large = await driver.prepare(call, key("b"), named("l"), { quotaBytes: 2_048 * megabyte });
    const [size] = await within(own, large, (root) => [statfsSync(root)]);
    assert.ok(Number(size?.blocks) * Number(size?.bsize) >= 2_048 * megabyte);
    await driver.commit(call, named("m"), key("b"));
    const child = await driver.prepare(call, key("c"), named("m"));
    const [grown] = await within(own, child, (root) => [statfsSync(root)]);
    assert.ok(Number(grown?.blocks) * Number(grown?.bsize) >= 2_048 * megabyte, "a child is as large as its parent");
  },
);

test.skipIf(reason, "what is removed while it is mounted goes with its last mount, and holds up nothing", async (t) => {
  const own = world(t);
  const driver = await own.again();
  const root = await own.host.open(call, await driver.prepare(call, key("a"), null));
  writeFileSync(join(root, "file"), "x");
  await driver.remove(call, key("a"));
  await driver.reclaim(call);
  assert.equal(readdirSync(join(own.directory, "removed")).length, 1);
  // Meanwhile everything else works, and so does the mounted tree.
  await driver.prepare(call, key("b"), null);
  assert.equal(readFileSync(join(root, "file"), "utf8"), "x");
  await own.host.close(call, root);
  await driver.remove(call, key("b"));
  await driver.reclaim(call);
  assert.deepEqual(readdirSync(join(own.directory, "removed")), []);
  assert.deepEqual(devices(), []);
});

test.skipIf(reason, "what is released goes by itself, and comes back when it is asked for", async (t) => {
  const own = world(t);
  const driver = await own.again();
  await driver.prepare(call, key("a"), null);
  const mounts = await driver.mounts(call, key("a"));
  await within(own, mounts, (root) => writeFileSync(join(root, "file"), "x"));
  assert.ok(devices().length > 0);
  await driver.released(call, key("a"));
  const end = Date.now() + soon;
  while (devices().length > 0) {
    assert.ok(Date.now() < end, `still there: ${devices()}`);
    await pause(50);
  }
  assert.deepEqual(loops(own.directory), [], "the pool goes after its last device");
  assert.equal(await within(own, await driver.mounts(call, key("a")), (root) => readFileSync(join(root, "file"), "utf8")), "x");
});

test.skipIf(reason, "an engine that died leaves nothing that the next one does not find", async (t) => {
  const own = world(t);
  const dead = await own.again();
  await dead.prepare(call, key("a"), null);
  await dead.commit(call, named("l"), key("a"));
  const root = await own.host.open(call, await dead.prepare(call, key("runs"), named("l")));
  await dead.prepare(call, key("forgotten"), named("l"));
  const { number } = JSON.parse(readFileSync(join(own.directory, "active/forgotten/device"), "utf8"));
  // A power cut that took a record which was not on disk, and not the pool's own.
  rmSync(join(own.directory, "active/forgotten"), { recursive: true });
  const next = await own.again();
  assert.ok(!devices().some((name) => name.endsWith(`-${number}`)), "a device of nobody is mapped");
  const pool = devices().find((name) => name.endsWith("-pool")) ?? "";
  // ENODATA: the pool has no device of that number.
  await assert.rejects(own.host.messageDevice(call, pool, `delete ${number}`), (error) => isTsboxError(error) && error.errno === 61);
  await next.prepare(call, key("c"), named("l"));
  const after = JSON.parse(readFileSync(join(own.directory, "active/c/device"), "utf8"));
  assert.ok(after.number > number, "a number is used again");
  // What was mounted all the time works on.
  writeFileSync(join(root, "file"), "x", { flush: true });
  await own.host.close(call, root);
});

test.skipIf(reason, "a device that was suspended when its engine died goes on with the next one", async (t) => {
  const own = world(t);
  const dead = await own.again();
  await dead.prepare(call, key("a"), null);
  const name = devices().find((name) => name.endsWith("-1")) ?? "";
  execFileSync("dmsetup", ["suspend", name], { env: { ...process.env, DM_DISABLE_UDEV: "1" } });
  assert.equal((await own.host.mappedDevice(call, name))?.suspended, true);
  const next = await own.again();
  assert.equal((await own.host.mappedDevice(call, name))?.suspended, false);
  await within(own, await next.mounts(call, key("a")), (root) => writeFileSync(join(root, "file"), "x"));
});

test.skipIf(reason, "two block devices as a pool: those that are not empty are refused, and lost is nothing", async (t) => {
  const own = world(t);
  const [data, metadata] = [512, 16].map((size, at) => {
    const file = join(temporaryDirectory(t), `disk${at}`);
    writeFileSync(file, "");
    truncateSync(file, size * megabyte);
    const loop = execFileSync("losetup", ["-f", "--show", file], { encoding: "utf8" }).trim();
    t.cleanup(() => execFileSync("losetup", ["-d", loop]));
    return loop;
  });
  const config = { data, metadata, baseSize: "512m" };
  writeFileSync(data ?? "", "something");
  const refusing = await own.again(config);
  await assert.rejects(refusing.prepare(call, key("a"), null), coded("FailedPrecondition", /is not empty: .*dd if=\/dev\/zero/));
  writeFileSync(data ?? "", Buffer.alloc(9));
  const driver = await own.again(config);
  await within(own, await driver.prepare(call, key("a"), null), (root) => writeFileSync(join(root, "file"), "x"));
  await driver.commit(call, named("l"), key("a"));
  assert.deepEqual((await driver.report(call)).warnings, []);
  await driver.close(call);
  assert.deepEqual(devices(), []);
  const next = await own.again(config);
  const mounts = await next.view(call, "v" as ViewKey, named("l"));
  assert.equal(await within(own, mounts, (root) => readFileSync(join(root, "file"), "utf8")), "x");
  await next.close(call);
});

test.skipIf(reason, "a pool of the operator's own: one that makes writers wait is refused, and it is never taken away", async (t) => {
  const own = world(t);
  const attached: { release(): Promise<void>; path: string }[] = [];
  for (const size of [512, 16]) {
    const file = join(temporaryDirectory(t), "disk");
    writeFileSync(file, "");
    truncateSync(file, size * megabyte);
    const loop = await own.host.attachLoop(call, file);
    attached.push({ path: loop.path, release: () => own.host.releaseLoop(call, loop) });
  }
  const [data, metadata] = attached.map(({ path }) => path);
  const row = (features: string) => ({ sectors: 1_048_576, target: "thin-pool", parameters: `${metadata} ${data} 128 0 ${features}` });
  const name = "tsbox-test-operators-pool";
  const pool = await own.host.mapDevice(call, name, row("1 skip_block_zeroing"));
  t.cleanup(async () => {
    await own.host.unmapDevice(call, name);
    for (const { release } of attached) await release();
  });
  const config = { pool, baseSize: "512m" };
  await assert.rejects((await own.again(config)).prepare(call, key("a"), null), coded("FailedPrecondition", /errorwhenfull/));
  await own.host.unmapDevice(call, name);
  await own.host.mapDevice(call, name, row("2 skip_block_zeroing error_if_no_space"));
  const driver = await own.again(config);
  await within(own, await driver.prepare(call, key("b"), null), (root) => writeFileSync(join(root, "file"), "x"));
  await driver.commit(call, named("l"), key("b"));
  await driver.close(call);
  assert.notEqual(await own.host.mappedDevice(call, name), null);
  // Another engine, which knows nothing of its devices.
  const other = join(temporaryDirectory(t), "other");
  mkdirSync(other);
  const settings = parseSettings(config);
  const stranger = new DeviceMapperDriver({
    host: own.host,
    directory: other,
    engineId: conformanceEngine,
    settings,
    makeCall: () => call,
  });
  await assert.rejects(stranger.prepare(call, key("a"), null), coded("FailedPrecondition", /has devices already/));
});

test("a host without a device mapper is told so in one line", async (t) => {
  if ("skip" in toolkit) return t.skip(toolkit.skip);
  const answer = await probe(call, { ...toolkit.host, mapperTargets: async () => ["linear"] }, parseSettings({}));
  assert.ok(!answer.usable && /no thin pools/.test(answer.reason) && /modprobe/.test(answer.hint ?? ""));
});

test("settings are refused in words", () => {
  assert.equal(plugin.parseConfig({}).fileSystem, "xfs");
  assert.equal(parseSettings({ baseSize: "1.5g" }).baseSize, 1.5 * 2 ** 30);
  const bad: readonly (readonly [object, RegExp])[] = [
    [{ size: 1 }, /unknown key "size"/],
    [{ pool: "vg/pool" }, /pool is the path of a block device/],
    [{ pool: "/dev/mapper/x", data: "/dev/sdb", metadata: "/dev/sdc" }, /leave data and metadata out/],
    [{ data: "/dev/sdb" }, /name both/],
    [{ fileSystem: "btrfs" }, /xfs or ext4/],
    [{ baseSize: "10" }, /baseSize is a size such as "10g"/],
    [{ metadataSize: "17g" }, /metadataSize/],
  ];
  for (const [config, words] of bad) assert.throws(() => parseSettings(config), coded("InvalidArgument", words));
});

test("a pool says how full it is, and one that is nearly full takes no new device", () => {
  const status = parseStatus("0 24/4096 1000/8192 - rw discard_passdown error_if_no_space - 1024 ");
  assert.deepEqual(status, {
    data: { used: 1_000 * 65_536, total: 8_192 * 65_536 },
    metadata: { used: 24 * 4_096, total: 4_096 * 4_096 },
    state: "rw",
    errorsWhenFull: true,
  });
  checkRoom(status);
  const texts: readonly (readonly [string, string])[] = [
    ["0 24/4096 8000/8192 - rw discard_passdown error_if_no_space - 1024", "ResourceExhausted"],
    ["0 4000/4096 1000/8192 - rw discard_passdown error_if_no_space - 1024", "ResourceExhausted"],
    ["0 24/4096 1000/8192 - ro discard_passdown error_if_no_space needs_check 1024", "FailedPrecondition"],
    ["Fail", "FailedPrecondition"],
  ];
  for (const [text, code] of texts) assert.throws(() => checkRoom(parseStatus(text)), coded(code), text);
});

test("numbers are used once, over crashes and over their end", async (t) => {
  const path = join(temporaryDirectory(t), "numbers.json");
  const first = new Numbers(path);
  assert.deepEqual(first.begin([]), []);
  await first.swept();
  const taken = [await first.take(), await first.take(), await first.take()];
  assert.deepEqual(taken, [1, 2, 3]);
  first.free(2);
  assert.equal(await first.take(), 4);
  // A crash: of what may have been given away, 1 and 4 are known.
  const second = new Numbers(path);
  const unknown = second.begin([1, 4]);
  assert.ok(unknown.includes(2) && unknown.includes(3) && !unknown.includes(1) && !unknown.includes(4));
  await second.swept();
  const fresh = await second.take();
  assert.ok(fresh > 4 && !unknown.includes(fresh));
  // At the end they begin again, without those that are in use.
  writeFileSync(path, JSON.stringify({ swept: numberCount - 2, next: numberCount - 2 }));
  const last = new Numbers(path);
  last.begin([1, 2]);
  assert.deepEqual([await last.take(), await last.take(), await last.take()], [numberCount - 2, numberCount - 1, 3]);
  const after = new Numbers(path);
  assert.ok(after.begin([1, 2, 3]).includes(numberCount - 1));
});

test("the toolkit closes", async () => {
  if (!("skip" in toolkit)) await toolkit.close();
});
