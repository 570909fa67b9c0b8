/** What the operator is told of the choice of each kind's driver. */
import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite } from "@tsbox/harness";
import type { DriverSelection } from "../src/index.ts";
import { type TestPlugin, type World, world } from "./world.ts";

const test = suite("selection");

const no = `async () => ({ usable: false, reason: "needs btrfs; this is ext4", hint: "mount one" })`;
const yes = "async () => ({ usable: true })";
const driver = (id: string, rank: number, probe = yes): TestPlugin => ({
  name: `storage-${id}`,
  manifest: { kernel: "^1.0", provides: { [`storage/${id}`]: "1.0.0" }, ...(rank > 0 ? { rank: { [`storage/${id}`]: rank } } : {}) },
  setup: `context.provideDriver("storage", "${id}", { probe: ${probe}, async open() { return {}; } });`,
});
const four = [driver("vfs", 10), driver("btrfs", 50, no), driver("overlay", 100), driver("zfs", 0)];

async function shown(engine: World, config = {}, limits = {}): Promise<DriverSelection | undefined> {
  const host = await engine.start(config, 20, limits);
  const found = await host.service("engine").selections(host.call());
  await host.stop();
  return found.find(({ kind }) => kind === "storage");
}
const lines = (found: DriverSelection | undefined): readonly string[] => [
  `${found?.id} (${found?.basis}): ${found?.why}`,
  ...(found?.others ?? []).map(({ id, why }) => `not ${id}: ${why}`),
];

test("by rank: each other driver has a lower rank, no rank, or can't be used", async (test) => {
  const engine = world(test, four);
  const found = await shown(engine);
  assert.deepEqual(lines(found), [
    "overlay (rank): it has the highest rank (100) of those that work here",
    "not vfs: works here, but its rank (10) is lower than that of overlay (100)",
    "not btrfs: can't be used here: needs btrfs; this is ext4; mount one",
    "not zfs: works here, but has no rank: it is used where it is named",
  ]);
  assert.deepEqual(
    found?.others.map(({ rank, usable }) => [rank, usable]),
    [
      [10, true],
      [50, false],
      [0, true],
    ],
  );
  assert.ok(!existsSync(join(engine.directory, "root/drivers.json")), "to ask is to choose");
});

test("another choice is recorded and holds at once, unless the config file names one", async (test) => {
  const engine = world(test, four);
  const host = await engine.start();
  const kernel = host.service("engine");
  assert.equal(await host.preferred("storage"), "overlay");
  await kernel.prefer(host.call(), "storage", "vfs");
  assert.equal(await host.preferred("storage"), "vfs");
  await assert.rejects(kernel.prefer(host.call(), "storage", "tape"), { code: "DriverMissing" });
  await host.stop();
  assert.equal((await shown(engine))?.id, "vfs");
  const named = await engine.start({ drivers: { storage: "overlay" } });
  const refused = named.service("engine").prefer(named.call(), "storage", "vfs");
  await assert.rejects(refused, { code: "FailedPrecondition", message: /the config file names the storage driver overlay/ });
  await named.stop();
});

test("named by the operator, or recorded by the first start", async (test) => {
  const engine = world(test, four);
  assert.deepEqual(lines(await shown(engine, { drivers: { storage: "vfs" } })).slice(0, 3), [
    "vfs (named): the config file names it",
    "not btrfs: can't be used here: needs btrfs; this is ext4; mount one",
    "not overlay: works here, but the config file names vfs",
  ]);
  writeFileSync(join(engine.directory, "root/drivers.json"), `{"storage": "zfs"}`);
  assert.deepEqual(lines(await shown(engine)).slice(0, 2), [
    "zfs (recorded): this host's record of drivers names it",
    "not vfs: works here, but this host's record of drivers names zfs",
  ]);
  writeFileSync(join(engine.directory, "root/drivers.json"), `{"storage": "btrfs"}`);
  const [first, second] = lines(await shown(engine));
  assert.match(first ?? "", /^null \(null\): this host's storage driver is btrfs .* but needs btrfs; this is ext4; name another/);
  assert.equal(second, "not vfs: works here");
});

test("without ranks the first of the list is taken", async (test) => {
  assert.deepEqual(lines(await shown(world(test, [driver("vfs", 0), driver("zfs", 0)]))), [
    "vfs (order): none has a rank, and it comes first in the list of plugins",
    "not zfs: works here, but vfs comes first in the list of plugins",
  ]);
  assert.deepEqual(lines(await shown(world(test, [driver("vfs", 0)]))), ["vfs (order): it is the only one"]);
});

test("none that works", async (test) => {
  assert.deepEqual(lines(await shown(world(test, [driver("btrfs", 50, no)]))), [
    "null (null): none can be used here",
    "not btrfs: can't be used here: needs btrfs; this is ext4; mount one",
  ]);
});

test("a probe that throws, and one that never answers, hold nothing up", async (test) => {
  const engine = world(test, [
    driver("overlay", 100, "() => new Promise(() => {})"),
    driver("btrfs", 50, `async () => { throw new Error("boom"); }`),
    driver("vfs", 10),
  ]);
  const [first, ...others] = lines(await shown(engine, {}, { look: 20, probe: 500 }));
  assert.equal(first, "vfs (rank): it has the highest rank (10) of those that work here");
  assert.match(others[0] ?? "", /^not overlay: can't be used here: storage\/overlay has not answered its probe for 0\.02 s$/);
  assert.match(others[1] ?? "", /^not btrfs: can't be used here: storage-btrfs failed: boom/);
});
