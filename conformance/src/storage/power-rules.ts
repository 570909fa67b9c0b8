/** Rules for powers: without a power a plain refusal, with it the same result as the slow way. */
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { appendFile } from "node:fs/promises";
import {
  type Adopts,
  type Applies,
  type Change,
  type Diffs,
  type Driver,
  deriveCall,
  fail,
  type LayerFile,
  type Lists,
  type Reclaims,
  type Settles,
  type SnapshotName,
  type StoragePowers,
  supports,
} from "@tsbox/kernel";
import { expect, expectCode, type Rule } from "../rule.ts";
import { base, changes, madeAgain, randomEdits, unusual, unusualChanges } from "./edits.ts";
import { type Edit, expectSame } from "./tree.ts";
import { active, layer, mountsOf, named, shown, viewKey } from "./words.ts";
import type { StorageWorld, WorldFiles } from "./world.ts";

const noFiles = (world: StorageWorld): string | null => (world.files === null ? "trees are no files here" : null);

function filesOf(world: StorageWorld): WorldFiles {
  if (world.files === null) throw fail("Internal", "this rule needs files");
  return world.files;
}
function having<P extends keyof StoragePowers>(world: StorageWorld, power: P): Driver<StoragePowers> & StoragePowers[P] {
  const driver: Driver<StoragePowers> = world.driver;
  if (!supports(driver, power)) throw fail("Internal", `this rule needs power ${power}`);
  return driver;
}

/** Trees on top of each other, as edits; each is tested as a layer. */
const stacks: readonly { readonly name: string; readonly lists: readonly (readonly Edit[])[] }[] = [
  { name: "changes", lists: [base, changes] },
  { name: "made again", lists: [base, madeAgain] },
  { name: "unusual", lists: [unusual, unusualChanges] },
  { name: "random", lists: randomEdits(11, 3, 25) },
];

export const powerRules: readonly Rule<StorageWorld>[] = [
  {
    id: "storage/quota-refused",
    contract: "PrepareOptions.quotaBytes",
    title: "without power quota a size is Unsupported",
    without: ["quota"],
    run: ({ driver, call }) => expectCode(driver.prepare(call, active("a"), null, { quotaBytes: 1 << 20 }), "Unsupported"),
  },
  {
    id: "storage/quota",
    contract: "StoragePowers.quota",
    title: "with power quota a write beyond the size is refused, its neighbours' are not, and what is committed has no limit any more",
    needs: ["quota"],
    async run(world) {
      const { driver, call } = world;
      const parent = await layer(world, "l", null, base);
      const big = (path: string): readonly Edit[] => [{ op: "write", path, content: "x".repeat(3 << 20) }];
      const small: readonly Edit[] = [{ op: "write", path: "small", content: "x".repeat(1 << 10) }];
      for (const round of ["a", "b"]) {
        const mounts = await driver.prepare(call, active(round), parent, { quotaBytes: 2 << 20 });
        await world.edit(mounts, small);
        const refused = await world.edit(mounts, big("big")).then(
          () => false,
          () => true,
        );
        expect(refused, "a write beyond the quota was done");
        await world.edit(await driver.prepare(call, active(`free-${round}`), parent), big("big"));
      }
      await world.crash();
      await world.driver.remove(world.call, active("a"));
      await world.driver.commit(world.call, named("m"), active("b"));
      expect((await shown(world, named("m"))).get("small")?.content === "x".repeat(1 << 10), "what was written is not there");
      await world.edit(await world.driver.prepare(world.call, active("c"), named("m")), big("more"));
    },
  },
  {
    id: "storage/rebase-refused",
    contract: "CommitOptions.parent",
    title: "without power rebase another parent at commit is Unsupported, and the snapshot stays active",
    without: ["rebase"],
    async run(world) {
      const { driver, call } = world;
      const parent = await layer(world, "l", null, base);
      await driver.prepare(call, active("a"), null);
      await expectCode(driver.commit(call, named("m"), active("a"), { parent }), "Unsupported");
      expect((await driver.stat(call, active("a"))).kind === "active", "it is not active any more");
    },
  },
  {
    id: "storage/rebase",
    contract: "StoragePowers.rebase",
    title: "a layer unpacked by itself and put on a parent at commit shows as one unpacked on that parent",
    needs: ["rebase", "apply"],
    unless: noFiles,
    async run(world) {
      const { driver, call } = world;
      const parent = await layer(world, "l", null, base);
      const layerFile = await layerOf(world, [base], changes);
      await driver.prepare(call, active("a"), null);
      await having(world, "apply").apply(call, active("a"), layerFile);
      await driver.commit(call, named("m"), active("a"), { parent });
      expectSame(await shown(world, named("m")), await world.plain(base, changes), "rebased");
      expect((await driver.stat(call, named("m"))).parent === parent, "it has another parent");
      await expectCode(driver.remove(call, parent), "FailedPrecondition");
    },
  },
  ...stacks.map(
    ({ name, lists }): Rule<StorageWorld> => ({
      id: `storage/apply-same-${name.replace(" ", "-")}`,
      contract: "Applies.apply",
      title: `a layer (${name}) laid by the driver shows as one laid over its mounts`,
      needs: ["apply"],
      unless: noFiles,
      async run(world) {
        const { driver, call } = world;
        const applier: Applies = having(world, "apply");
        let parent = null;
        for (const [at, list] of lists.entries()) {
          const file = await layerOf(world, lists.slice(0, at), list);
          await driver.prepare(call, active(`fast${at}`), parent);
          const fast = await applier.apply(call, active(`fast${at}`), file);
          await filesOf(world).slowApply(await driver.prepare(call, active(`slow${at}`), parent), file);
          const [left, right] = [
            await world.read(await mountsOf(world, active(`fast${at}`))),
            await world.read(await mountsOf(world, active(`slow${at}`))),
          ];
          expectSame(left, right, `layer ${at}`);
          expect(fast.size === statSync(file.path).size, "the layer's size is wrong");
          await driver.commit(call, named(`l${at}`), active(`fast${at}`));
          parent = named(`l${at}`);
          expectSame(await shown(world, parent), await world.plain(...lists.slice(0, at + 1)), `committed layer ${at}`);
        }
      },
    }),
  ),
  {
    id: "storage/apply-active",
    contract: "Applies.apply",
    title: "a layer is laid over an active snapshot only",
    needs: ["apply"],
    unless: noFiles,
    async run(world) {
      const file = await layerOf(world, [], base);
      const name = await layer(world, "l", null, []);
      await expectCode(having(world, "apply").apply(world.call, active(name), file), "FailedPrecondition");
      await expectCode(having(world, "apply").apply(world.call, active("x"), file), "NotFound");
    },
  },
  {
    id: "storage/follow",
    contract: "StoragePowers.follow",
    title: "a layer that is still being written shows as one that was whole from the start",
    needs: ["apply", "follow"],
    unless: noFiles,
    async run(world) {
      const { driver, call } = world;
      const { file, bytes, arriving } = await onItsWay(world);
      await driver.prepare(call, active("a"), null);
      const applied = having(world, "apply").apply(call, active("a"), arriving);
      for (let at = bytes.length >> 1; at < bytes.length; at += 1000) await appendFile(arriving.path, bytes.subarray(at, at + 1000));
      const { digest, size } = await applied;
      await driver.prepare(call, active("b"), null);
      const whole = await having(world, "apply").apply(call, active("b"), file);
      expect(digest === whole.digest && size === whole.size, "its digest or size is not that of the whole file");
      expectSame(await world.read(await mountsOf(world, active("a"))), await world.plain(base), "followed");
    },
  },
  {
    id: "storage/follow-canceled",
    contract: "LayerFile.growingTo",
    title: "a wait for the rest of a layer stops when it is canceled, and the snapshot can be removed",
    needs: ["apply", "follow"],
    unless: noFiles,
    async run(world) {
      const { driver, call } = world;
      const { arriving } = await onItsWay(world);
      await driver.prepare(call, active("a"), null);
      const stop = new AbortController();
      const applied = having(world, "apply").apply(deriveCall(call, { signal: stop.signal }), active("a"), arriving);
      stop.abort(fail("Canceled", "the rest will not come"));
      await expectCode(applied, "Canceled");
      await driver.remove(call, active("a"));
    },
  },
  ...stacks.map(
    ({ name, lists }): Rule<StorageWorld> => ({
      id: `storage/diff-same-${name.replace(" ", "-")}`,
      contract: "Diffs.diff",
      title: `the driver's layer of a snapshot (${name}) makes the same tree as the slow one`,
      needs: ["diff"],
      unless: noFiles,
      async run(world) {
        const { driver, call } = world;
        const files = filesOf(world);
        const differ: Diffs = having(world, "diff");
        let parent = null;
        for (const [at, list] of lists.entries()) {
          const before = parent;
          parent = await layer(world, `l${at}`, before, list);
          const fast = files.newLayer();
          const answer = await differ.diff(call, before, parent, fast);
          expect(answer.size === statSync(fast.path).size, "the layer's size is wrong");
          await files.slowApply(await driver.prepare(call, active(`again${at}`), before), fast);
          expectSame(
            await world.read(await mountsOf(world, active(`again${at}`))),
            await world.plain(...lists.slice(0, at + 1)),
            `layer ${at}`,
          );
        }
        const whole = files.newLayer();
        await differ.diff(call, null, named(`l${lists.length - 1}`), whole);
        await files.slowApply(await driver.prepare(call, active("whole"), null), whole);
        expectSame(await world.read(await mountsOf(world, active("whole"))), await world.plain(...lists), "all of it");
      },
    }),
  ),
  {
    id: "storage/adopt",
    contract: "Adopts.adopt",
    title: "an adopted directory is a base like any other, and is never written or removed",
    needs: ["adopt"],
    unless: noFiles,
    async run(world) {
      const { driver, call } = world;
      const files = filesOf(world);
      const adopter: Adopts = having(world, "adopt");
      const directory = await files.directory(base);
      await adopter.adopt(call, named("host"), directory);
      await expectCode(adopter.adopt(call, named("host"), directory), "AlreadyExists");
      await expectCode(adopter.adopt(call, named("none"), `${directory}/no-such`), "NotFound");
      const mounts = await driver.prepare(call, active("a"), named("host"));
      await world.edit(mounts, changes);
      expectSame(await world.read(mounts), await world.plain(base, changes), "child");
      expectSame(await shown(world, named("host")), await world.plain(base), "view");
      await world.crash();
      expectSame(await world.read(await mountsOf(world, active("a"))), await world.plain(base, changes), "child after a crash");
      await world.driver.remove(call, active("a"));
      await world.driver.remove(call, named("host"));
      if (supports(world.driver, "reclaim")) await having(world, "reclaim").reclaim(call);
      expectSame(files.readDirectory(directory), await world.plain(base), "the directory itself");
    },
  },
  ...stacks.map(
    ({ name, lists }): Rule<StorageWorld> => ({
      id: `storage/changes-same-${name.replace(" ", "-")}`,
      contract: "Lists.changes",
      title: `what the driver says a snapshot (${name}) changes is what a comparison of the trees says, active and committed`,
      needs: ["changes"],
      unless: noFiles,
      async run(world) {
        const { driver, call } = world;
        const lister: Lists = having(world, "changes");
        let parent: SnapshotName | null = null;
        for (const [at, list] of lists.entries()) {
          const key = active(`a${at}`);
          const mounts = await driver.prepare(call, key, parent);
          const before = await world.files?.copy(mounts);
          await world.edit(mounts, list);
          const slow = JSON.stringify(await filesOf(world).slowChanges(before ?? "", mounts));
          expect(JSON.stringify(await collected(await lister.changes(call, parent, key))) === slow, `active layer ${at} differs`);
          await driver.commit(call, named(`l${at}`), key);
          expect(
            JSON.stringify(await collected(await lister.changes(call, parent, named(`l${at}`)))) === slow,
            `committed layer ${at} differs`,
          );
          parent = named(`l${at}`);
        }
      },
    }),
  ),
  {
    id: "storage/reclaim",
    contract: "Reclaims.reclaim",
    title: "reclaim frees what was removed, and says how much",
    needs: ["reclaim"],
    async run(world) {
      const { driver, call } = world;
      const reclaimer: Reclaims = having(world, "reclaim");
      await reclaimer.reclaim(call);
      await world.edit(await driver.prepare(call, active("a"), null), [{ op: "write", path: "big", content: "x".repeat(1_000_000) }]);
      await driver.view(call, viewKey("v"), null);
      await driver.remove(call, active("a"));
      const { bytes } = await reclaimer.reclaim(call);
      expect(bytes >= 1_000_000, `a megabyte was removed, but ${bytes} bytes came back`);
      expect((await reclaimer.reclaim(call)).bytes < 1_000_000, "the same bytes came back twice");
    },
  },
  {
    id: "storage/settle",
    contract: "Settles.settle",
    title:
      "what is settled is as it was, while it is written to, and after the engine's death; settled is what a volatile parent has on top of it",
    needs: ["settle"],
    async run(world) {
      const { driver, call } = world;
      const settler: Settles = having(world, "settle");
      await world.edit(await driver.prepare(call, active("a"), null, { volatile: true }), base);
      await driver.commit(call, named("l"), active("a"), { volatile: true });
      const mounts = await driver.prepare(call, active("b"), named("l"), { volatile: true });
      const [first] = changes;
      if (first !== undefined) await world.edit(mounts, [first]);
      await Promise.all([settler.settle(call, active("b")), settler.settle(call, active("b"))]);
      await world.edit(mounts, changes.slice(1));
      await settler.settle(call, active("b"));
      await settler.settle(call, named("l"));
      await expectCode(settler.settle(call, active("none")), "NotFound");
      await world.crash();
      expectSame(await shown(world, named("l")), await world.plain(base), "parent");
      expectSame(await world.read(await mountsOf(world, active("b"))), await world.plain(base, changes), "what was settled");
      await world.driver.commit(call, named("m"), active("b"));
      expectSame(await shown(world, named("m")), await world.plain(base, changes), "what was settled and committed");
    },
  },
];

async function collected(stream: AsyncIterable<Change>): Promise<readonly Change[]> {
  const found: Change[] = [];
  for await (const change of stream) found.push(change);
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** A layer, and a file with its first half, which is to become the layer. */
async function onItsWay(world: StorageWorld): Promise<{ readonly file: LayerFile; readonly bytes: Buffer; readonly arriving: LayerFile }> {
  const file = await layerOf(world, [], base);
  const bytes = readFileSync(file.path);
  const { path, mediaType } = filesOf(world).newLayer();
  writeFileSync(path, bytes.subarray(0, bytes.length >> 1));
  return { file, bytes, arriving: { path, mediaType, growingTo: bytes.length } };
}

/** The layer that changes a plain tree of `lower` by `edits`; the oracle makes it. */
async function layerOf(world: StorageWorld, lower: readonly (readonly Edit[])[], edits: readonly Edit[]): Promise<LayerFile> {
  const files = filesOf(world);
  const [below, above] = [await files.directory(lower.flat()), await files.directory([...lower.flat(), ...edits])];
  const bind = (source: string) => [{ type: "bind", source, target: null, options: ["ro"] }];
  return files.slowDiff(lower.length === 0 ? null : bind(below), bind(above));
}
