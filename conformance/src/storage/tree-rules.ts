/** Rules for the contents of snapshots: the same as a plain directory after the same edits. */
import { expect, type Rule } from "../rule.ts";
import { base, changes, madeAgain, randomEdits, unusual, unusualChanges } from "./edits.ts";
import { expectSame } from "./tree.ts";
import { active, layer, mountsOf, named, shown, viewKey } from "./words.ts";
import type { StorageWorld } from "./world.ts";

export const treeRules: readonly Rule<StorageWorld>[] = [
  {
    id: "storage/empty",
    contract: "StorageDriver.prepare",
    title: "a snapshot without a parent is an empty directory of root, mode 755",
    async run(world) {
      const { driver, call } = world;
      expectSame(await world.read(await driver.prepare(call, active("a"), null)), await world.plain(), "active");
      expectSame(await world.read(await driver.view(call, viewKey("v"), null)), await world.plain(), "view");
    },
  },
  {
    id: "storage/write-read",
    contract: "StorageDriver.mounts",
    title: "what was written to an active snapshot is there when it is mounted again",
    async run(world) {
      await world.edit(await world.driver.prepare(world.call, active("a"), null), base);
      expectSame(await world.read(await mountsOf(world, active("a"))), await world.plain(base), "active");
    },
  },
  {
    id: "storage/commit-shows",
    contract: "StorageDriver.commit",
    title: "a committed snapshot shows what the active one held",
    async run(world) {
      expectSame(await shown(world, await layer(world, "l", null, base)), await world.plain(base), "committed");
    },
  },
  {
    id: "storage/child-inherits",
    contract: "StorageDriver.prepare",
    title: "a child begins with its parent's tree, and changes of every kind show in it",
    async run(world) {
      const parent = await layer(world, "l", null, base);
      const mounts = await world.driver.prepare(world.call, active("a"), parent);
      expectSame(await world.read(mounts), await world.plain(base), "before");
      await world.edit(mounts, changes);
      const [actual, expected] = [await world.read(mounts), await world.plain(base, changes)];
      expectSame(actual, expected, "after");
    },
  },
  {
    id: "storage/removed-stays-removed",
    contract: "StorageDriver.prepare",
    title: "a directory that is removed and made again in a child shows nothing of the old one, also two layers up",
    async run(world) {
      const middle = await layer(world, "m", await layer(world, "l", null, base), madeAgain);
      const top = await layer(world, "t", middle, [{ op: "write", path: "home/late", content: "2" }]);
      expectSame(await shown(world, top), await world.plain(base, madeAgain, [{ op: "write", path: "home/late", content: "2" }]), "top");
    },
  },
  {
    id: "storage/root-metadata",
    contract: "StorageDriver.prepare",
    title: "owner and mode of the root directory itself are part of the tree",
    async run(world) {
      const edits = [
        { op: "chmod", path: ".", mode: 0o711 },
        { op: "chown", path: ".", uid: 5, gid: 6 },
      ] as const;
      const parent = await layer(world, "l", null, edits);
      expectSame(await world.read(await world.driver.prepare(world.call, active("a"), parent)), await world.plain(edits), "child");
    },
  },
  {
    id: "storage/siblings-apart",
    contract: "StorageDriver.prepare",
    title: "what is written in one child shows neither in its sibling nor in the parent",
    async run(world) {
      const parent = await layer(world, "l", null, base);
      const [one, two] = [
        await world.driver.prepare(world.call, active("a"), parent),
        await world.driver.prepare(world.call, active("b"), parent),
      ];
      await world.edit(one, changes);
      expectSame(await world.read(two), await world.plain(base), "sibling");
      expectSame(await shown(world, parent), await world.plain(base), "parent");
    },
  },
  {
    id: "storage/view-read-only",
    contract: "StorageDriver.view",
    title: "nothing can be written through a view",
    async run(world) {
      const mounts = await world.driver.view(world.call, viewKey("v"), await layer(world, "l", null, base));
      const outcome = await world.edit(mounts, [{ op: "write", path: "new", content: "x" }]).then(
        () => "written",
        () => "refused",
      );
      expect(outcome === "refused", "a file was written through a view");
      expectSame(await world.read(mounts), await world.plain(base), "view");
    },
  },
  {
    id: "storage/unusual",
    contract: "StorageDriver.commit",
    title: "long, odd and non-UTF-8 names, nodes, holes, times, owners and set-id bits are kept, over layers too",
    async run(world) {
      const parent = await layer(world, "l", null, unusual);
      expectSame(await shown(world, parent), await world.plain(unusual), "committed");
      const mounts = await world.driver.prepare(world.call, active("a"), parent);
      expectSame(await world.read(mounts), await world.plain(unusual), "child");
      await world.edit(mounts, unusualChanges);
      await world.driver.commit(world.call, named("m"), active("a"));
      expectSame(await shown(world, named("m")), await world.plain(unusual, unusualChanges), "changed");
      expectSame(await shown(world, parent), await world.plain(unusual), "below");
    },
  },
  {
    id: "storage/link-over-layers",
    contract: "StorageDriver.prepare",
    title: "a hard link to a file of the layer below is the same file, in the layers above too",
    async run(world) {
      const parent = await layer(world, "l", null, [{ op: "write", path: "one", content: "1" }]);
      const top = await layer(world, "m", parent, [
        { op: "mkdir", path: "d" },
        { op: "link", path: "d/two", to: "one" },
        { op: "append", path: "d/two", content: "2" },
      ]);
      const last = await layer(world, "t", top, [{ op: "write", path: "other", content: "x" }]);
      const tree = await shown(world, last);
      expect(tree.get("one")?.sameAs === "d/two" && tree.get("one")?.content === "12", "the two names are two files");
      expect((await shown(world, parent)).get("one")?.content === "1", "the layer below has changed");
    },
  },
  {
    id: "storage/deep",
    contract: "StorageDriver.prepare",
    title: "forty layers show as one tree",
    async run(world) {
      const edits = Array.from({ length: 40 }, (_, at) => [{ op: "write", path: `f${at % 7}`, content: `layer ${at}` } as const]);
      let parent = null;
      for (const [at, list] of edits.entries()) parent = await layer(world, `l${at}`, parent, list);
      expectSame(await shown(world, named("l39")), await world.plain(...edits), "top");
    },
  },
  ...[1, 2, 3].map(
    (seed): Rule<StorageWorld> => ({
      id: `storage/random-${seed}`,
      contract: "StorageDriver.commit",
      title: `five layers of random edits (seed ${seed}) show as on a plain directory`,
      async run(world) {
        const lists = randomEdits(seed, 5, 25);
        let parent = null;
        for (const [at, list] of lists.entries()) {
          parent = await layer(world, `l${at}`, parent, list);
          expectSame(await shown(world, parent), await world.plain(...lists.slice(0, at + 1)), `layer ${at}`);
        }
      },
    }),
  ),
];
