/** Rules for extremes and for what stays behind: deep trees, long chains of layers, usage of children, closing, mounts and devices. */
import { setTimeout as pause } from "node:timers/promises";
import { isTsboxError, type SnapshotName, supports } from "@tsbox/kernel";
import { expect, expectCode, type Rule } from "../rule.ts";
import { base, changes } from "./edits.ts";
import { type Edit, expectSame } from "./tree.ts";
import { active, layer, listed, mountsOf, named, shown, viewKey } from "./words.ts";
import type { StorageWorld } from "./world.ts";

/** More than a walk should hold open at a time. */
const levels = 500;
/** Docker's images have 127 layers at most. */
const leastLimit = 127;
/** The longest chain that is tried; above overlayfs's limit of 500. */
const longest = 520;
/** Milliseconds: half of the time after which a device would be let go without a word. */
const releaseTimeout = 30_000;
/** Lives of snapshots in search of what each of them leaves. */
const rounds = 40;
/** Bytes by which two sums of the same files may differ: metadata, and blocks that were not written out at the first look. */
const slack = 256 << 10;

export const extentRules: readonly Rule<StorageWorld>[] = [
  {
    id: "storage/deep-tree",
    contract: "StorageDriver.commit",
    title: "a tree of five hundred directories in each other is kept, changed at its end, and removed",
    async run(world) {
      const { driver, call } = world;
      const paths = Array.from({ length: levels }, (_, at) => Array.from({ length: at + 1 }, () => "d").join("/"));
      const last = paths.at(-1) ?? "";
      const edits: readonly Edit[] = [
        ...paths.map((path): Edit => ({ op: "mkdir", path })),
        { op: "write", path: `${last}/file`, content: "far down" },
      ];
      const more: readonly Edit[] = [
        { op: "append", path: `${last}/file`, content: ", changed" },
        { op: "write", path: `${last}/other`, content: "1" },
      ];
      const parent = await layer(world, "l", null, edits);
      expectSame(await shown(world, parent), await world.plain(edits), "committed");
      await world.edit(await driver.prepare(call, active("a"), parent), more);
      const { inodes } = await driver.usage(call, parent);
      expect(inodes > levels, `usage counts ${inodes} inodes`);
      await driver.commit(call, named("m"), active("a"));
      expectSame(await shown(world, named("m")), await world.plain(edits, more), "changed");
      await driver.remove(call, named("m"));
      await driver.remove(call, parent);
      if (supports(driver, "reclaim")) await driver.reclaim(call);
      expect((await listed(world)).length === 0, "something is left");
    },
  },
  {
    id: "storage/layer-limit",
    contract: "StorageDriver.prepare",
    title: "at least 127 layers show as one tree, and so do all up to the driver's limit; one more is FailedPrecondition",
    async run(world) {
      const { driver, call } = world;
      const edits: Edit[] = [];
      let top: SnapshotName | null = null;
      let count = 0;
      for (; count < longest; count++) {
        const key = active(`a${count}`);
        const edit: Edit = { op: "write", path: `f${count % 4}`, content: `layer ${count}` };
        try {
          const mounts = await driver.prepare(call, key, top, { volatile: true });
          if (count % 25 === 0) await world.edit(mounts, [edit]);
          await driver.commit(call, named(`l${count}`), key, { volatile: true });
        } catch (error) {
          expect(isTsboxError(error) && error.code === "FailedPrecondition", `layer ${count + 1} is refused by: ${String(error)}`);
          break;
        }
        if (count % 25 === 0) edits.push(edit);
        top = named(`l${count}`);
      }
      expect(count >= leastLimit, `${count} layers are its limit`);
      expect((await listed(world)).filter(({ kind }) => kind === "committed").length === count, "the refused layer is there");
      if (top !== null) expectSame(await shown(world, top), await world.plain(edits), `${count} layers`);
    },
  },
  {
    id: "storage/usage-child",
    contract: "StorageDriver.usage",
    title: "usage of a child counts what it has written and nothing of its siblings; its parent's does not change by it",
    async run(world) {
      const { driver, call } = world;
      const write = (path: string, megabytes: number): readonly Edit[] => [{ op: "write", path, content: "x".repeat(megabytes << 20) }];
      const parent = await layer(world, "l", null, write("big", 4));
      const ofParent = await driver.usage(call, parent);
      const mounts = await driver.prepare(call, active("a"), parent);
      await driver.prepare(call, active("b"), parent);
      const [fresh, sibling] = [await driver.usage(call, active("a")), await driver.usage(call, active("b"))];
      same(sibling.bytes, fresh.bytes, "a second child's usage");
      expect(
        fresh.bytes < slack || fresh.bytes >= 4 << 20,
        `a new child has ${fresh.bytes} bytes: neither a copy of its parent nor nothing`,
      );
      await world.edit(mounts, [...write("one", 1), ...write("two", 2)]);
      const after = await driver.usage(call, active("a"));
      same(after.bytes, fresh.bytes + (3 << 20), "three megabytes were written, and usage");
      expect(after.inodes === fresh.inodes + 2, `two files were written, and usage grew by ${after.inodes - fresh.inodes} inodes`);
      same((await driver.usage(call, active("b"))).bytes, sibling.bytes, "the sibling's usage");
      same((await driver.usage(call, parent)).bytes, ofParent.bytes, "the parent's usage");
      await driver.commit(call, named("m"), active("a"));
      same((await driver.usage(call, named("m"))).bytes, after.bytes, "the usage of what was committed");
      await driver.remove(call, named("m"));
      same((await driver.usage(call, parent)).bytes, ofParent.bytes, "the parent's usage after that");
    },
  },
  {
    id: "storage/close-twice",
    contract: "plugin: Provider.close",
    title: "closing twice is no error, and what is opened after it has everything",
    async run(world) {
      const parent = await layer(world, "l", null, base);
      await world.edit(await world.driver.prepare(world.call, active("a"), parent), changes);
      await world.stop();
      await world.stop();
      await world.crash();
      expectSame(await world.read(await mountsOf(world, active("a"))), await world.plain(base, changes), "active");
      expectSame(await shown(world, parent), await world.plain(base), "committed");
    },
  },
  {
    id: "storage/nothing-left",
    contract: "A driver answers with mounts and mounts nothing itself",
    title: "when everything is removed no mount, device or subvolume is left on the host, and no file of each life",
    async run(world) {
      await lifetime(world);
      const before = await world.held();
      expect(before.mounts.length === 0, `left on the host: ${before.mounts.join(", ")}`);
      for (let round = 0; round < rounds; round++) await shortLifetime(world);
      await lifetime(world);
      await world.stop();
      const { mounts, files } = await world.held();
      expect(mounts.length === 0, `left on the host: ${mounts.join(", ")}`);
      // A driver may make some snapshots in advance, or keep a journal.
      expect(files - before.files < rounds, `${files - before.files} files more are in the driver's directories after ${rounds} lives`);
    },
  },
  {
    id: "storage/released",
    contract: "Releases.released",
    title: "what is released holds nothing on the host soon after, and can be mounted again; what is unknown is NotFound",
    needs: ["release"],
    async run(world) {
      const { driver, call } = world;
      if (!supports(driver, "release")) return;
      const parent = await layer(world, "l", null, base);
      await world.edit(await driver.prepare(call, active("a"), parent), changes);
      await world.read(await driver.view(call, viewKey("v"), parent));
      await expectCode(driver.released(call, active("b")), "NotFound");
      for (const key of [active("a"), viewKey("v")]) await driver.released(call, key);
      for (const end = Date.now() + releaseTimeout; ; await pause(50)) {
        const { mounts } = await world.held();
        if (mounts.length === 0) break;
        expect(Date.now() < end, `released, and still held: ${mounts.join(", ")}`);
      }
      expectSame(await world.read(await mountsOf(world, active("a"))), await world.plain(base, changes), "active");
      expectSame(await world.read(await mountsOf(world, viewKey("v"))), await world.plain(base), "view");
    },
  },
];

function same(actual: number, expected: number, what: string): void {
  expect(Math.abs(actual - expected) <= slack, `${what} is ${actual} bytes instead of ${expected}`);
}

/** Each kind of snapshot is made, mounted, and removed. */
async function lifetime(world: StorageWorld): Promise<void> {
  const { driver, call } = world;
  const parent = await layer(world, "l", null, base);
  const top = await layer(world, "m", parent, changes);
  await world.edit(await driver.prepare(call, active("a"), top), [{ op: "write", path: "new", content: "x" }]);
  await world.edit(await driver.prepare(call, active("d"), top, { volatile: true, discarded: true }), [{ op: "mkdir", path: "dir" }]);
  await world.read(await driver.view(call, viewKey("v"), top));
  await world.read(await driver.mounts(call, active("a"), { readOnly: true }));
  for (const key of [active("a"), active("d"), viewKey("v"), top, parent]) await driver.remove(call, key);
  if (supports(driver, "reclaim")) await driver.reclaim(call);
}

/** The same without contents, for many rounds. */
async function shortLifetime({ driver, call }: StorageWorld): Promise<void> {
  await driver.prepare(call, active("a"), null, { volatile: true });
  await driver.commit(call, named("l"), active("a"), { volatile: true });
  await driver.view(call, viewKey("v"), named("l"));
  for (const key of [viewKey("v"), named("l")]) await driver.remove(call, key);
}
