/** Rules for keys, names and states: which verbs are refused, with which code, and that a refused verb changes nothing. */
import { expect, expectCode, type Rule } from "../rule.ts";
import { base, changes } from "./edits.ts";
import { expectSame } from "./tree.ts";
import { active, layer, listed, mountsOf, named, shown, viewKey } from "./words.ts";
import type { StorageWorld } from "./world.ts";

export const wordRules: readonly Rule<StorageWorld>[] = [
  {
    id: "storage/key-taken",
    contract: "a taken one `AlreadyExists`",
    title: "a key or name that is taken is AlreadyExists for every verb that makes one, and nothing is overwritten",
    async run(world) {
      const { driver, call } = world;
      const name = await layer(world, "l", null, base);
      await world.edit(await driver.prepare(call, active("a"), null), base);
      await driver.view(call, viewKey("v"), name);
      for (const key of ["l", "a", "v"]) {
        await expectCode(driver.prepare(call, active(key), null), "AlreadyExists");
        await expectCode(driver.view(call, viewKey(key), null), "AlreadyExists");
        await expectCode(driver.commit(call, named(key), active("a")), "AlreadyExists");
      }
      expectSame(await world.read(await mountsOf(world, active("a"))), await world.plain(base), "active");
      expectSame(await shown(world, name), await world.plain(base), "committed");
    },
  },
  {
    id: "storage/key-unknown",
    contract: "an unknown one is `NotFound`",
    title: "what is not there is NotFound for every verb",
    async run({ driver, call }) {
      await expectCode(driver.mounts(call, active("x")), "NotFound");
      await expectCode(driver.commit(call, named("l"), active("x")), "NotFound");
      await expectCode(driver.remove(call, active("x")), "NotFound");
      await expectCode(driver.stat(call, active("x")), "NotFound");
      await expectCode(driver.usage(call, active("x")), "NotFound");
      await expectCode(driver.prepare(call, active("a"), named("x")), "NotFound");
      await expectCode(driver.view(call, viewKey("v"), named("x")), "NotFound");
    },
  },
  {
    id: "storage/key-unsafe",
    contract: "Keys and names share one namespace and are safe as file names",
    title: "a key that is not safe as a file name is InvalidArgument",
    async run({ driver, call }) {
      await driver.prepare(call, active("a"), null);
      for (const bad of ["", ".", "..", ".hidden", "a/b", "../a", "a b", "a\n", "x".repeat(201)]) {
        await expectCode(driver.prepare(call, bad as ReturnType<typeof active>, null), "InvalidArgument");
        await expectCode(driver.view(call, bad as ReturnType<typeof viewKey>, null), "InvalidArgument");
        await expectCode(driver.commit(call, bad as ReturnType<typeof named>, active("a")), "InvalidArgument");
      }
      for (const good of ["A-Z.a_z:0", "sha256:0", "x".repeat(200)]) await driver.prepare(call, active(good), null);
    },
  },
  {
    id: "storage/parent-committed",
    contract: "one of the wrong kind (a parent that is not committed) `FailedPrecondition`",
    title: "only a committed snapshot is a parent: anything else is FailedPrecondition",
    async run({ driver, call }) {
      await driver.prepare(call, active("a"), null);
      await driver.view(call, viewKey("v"), null);
      for (const key of ["a", "v"]) {
        await expectCode(driver.prepare(call, active("b"), named(key)), "FailedPrecondition");
        await expectCode(driver.view(call, viewKey("b"), named(key)), "FailedPrecondition");
      }
    },
  },
  {
    id: "storage/commit-active",
    contract: "StorageDriver.commit",
    title: "only an active snapshot can be committed, and afterwards its key is gone",
    async run(world) {
      const { driver, call } = world;
      const name = await layer(world, "l", null, base);
      await expectCode(driver.stat(call, active("unpack-l")), "NotFound");
      await driver.view(call, viewKey("v"), name);
      await expectCode(driver.commit(call, named("m"), active("v")), "FailedPrecondition");
      await expectCode(driver.commit(call, named("m"), active("l")), "FailedPrecondition");
      await expectCode(driver.mounts(call, active("l")), "FailedPrecondition");
    },
  },
  {
    id: "storage/remove-with-children",
    contract: "StorageDriver.remove",
    title: "a snapshot with children is not removed before them",
    async run(world) {
      const { driver, call } = world;
      const parent = await layer(world, "l", null, base);
      await driver.prepare(call, active("a"), parent);
      await expectCode(driver.remove(call, parent), "FailedPrecondition");
      await driver.view(call, viewKey("v"), parent);
      await driver.remove(call, active("a"));
      await expectCode(driver.remove(call, parent), "FailedPrecondition");
      await driver.remove(call, viewKey("v"));
      await driver.remove(call, parent);
      await expectCode(driver.stat(call, parent), "NotFound");
    },
  },
  {
    id: "storage/remove-once",
    contract: "a finished `remove` is `NotFound`",
    title: "what was removed is NotFound, and its key is free again and empty",
    async run(world) {
      const { driver, call } = world;
      await world.edit(await driver.prepare(call, active("a"), null), base);
      await driver.remove(call, active("a"));
      await expectCode(driver.remove(call, active("a")), "NotFound");
      await expectCode(driver.mounts(call, active("a")), "NotFound");
      expectSame(await world.read(await driver.prepare(call, active("a"), null)), await world.plain(), "prepared again");
    },
  },
  {
    id: "storage/refused-changes-nothing",
    contract: "A refused verb changes nothing",
    title: "a refused verb leaves the list as it was",
    async run(world) {
      const { driver, call } = world;
      const parent = await layer(world, "l", null, base);
      await driver.prepare(call, active("a"), parent);
      const before = JSON.stringify(await listed(world));
      await expectCode(driver.prepare(call, active("b"), named("x")), "NotFound");
      await expectCode(driver.view(call, viewKey("b"), named("a")), "FailedPrecondition");
      await expectCode(driver.remove(call, parent), "FailedPrecondition");
      await expectCode(driver.commit(call, parent, active("a")), "AlreadyExists");
      expect(JSON.stringify(await listed(world)) === before, "the list has changed");
    },
  },
  {
    id: "storage/list-and-stat",
    contract: "StorageDriver.list",
    title: "list says each snapshot once, with kind, parent and time, as stat does",
    async run(world) {
      const { driver, call } = world;
      const began = Date.now();
      const parent = await layer(world, "l", null, base);
      await driver.prepare(call, active("a"), parent);
      await driver.view(call, viewKey("v"), parent);
      const found = await listed(world);
      const short = found.map(({ kind, key, parent }) => `${kind} ${key} on ${parent}`);
      expect(JSON.stringify(short) === '["active a on l","committed l on null","view v on l"]', `list says ${JSON.stringify(short)}`);
      for (const snapshot of found) {
        expect(
          JSON.stringify(await driver.stat(call, snapshot.key)) === JSON.stringify(snapshot),
          `stat and list differ about ${snapshot.key}`,
        );
        expect(
          snapshot.createdAt >= began - 1 && snapshot.createdAt <= Date.now() + 1,
          `${snapshot.key} was made at ${snapshot.createdAt}`,
        );
      }
    },
  },
  {
    id: "storage/crash-keeps",
    contract: "A crash leaves a tree under its key or its name, and never loses both",
    title: "after the engine's death everything is where it was",
    async run(world) {
      const parent = await layer(world, "l", null, base);
      await world.edit(await world.driver.prepare(world.call, active("a"), parent), [{ op: "write", path: "new", content: "x" }]);
      await world.driver.prepare(world.call, active("gone"), parent, { volatile: true });
      await world.driver.remove(world.call, active("gone"));
      const before = JSON.stringify(await listed(world));
      await world.crash();
      expect(JSON.stringify(await listed(world)) === before, "the list has changed");
      expectSame(await shown(world, parent), await world.plain(base), "committed");
      expectSame(
        await world.read(await mountsOf(world, active("a"))),
        await world.plain(base, [{ op: "write", path: "new", content: "x" }]),
        "active",
      );
      await expectCode(world.driver.remove(world.call, parent), "FailedPrecondition");
      await expectCode(world.driver.prepare(world.call, active("a"), parent), "AlreadyExists");
      await expectCode(world.driver.remove(world.call, active("gone")), "NotFound");
    },
  },
  {
    id: "storage/volatile-commit",
    contract: "CommitOptions.volatile",
    title: "a volatile commit is a snapshot like any other, and outlives the engine's death",
    async run(world) {
      const { call } = world;
      await world.edit(await world.driver.prepare(call, active("a"), null, { volatile: true }), base);
      await world.driver.commit(call, named("l"), active("a"), { volatile: true });
      await expectCode(world.driver.stat(call, active("a")), "NotFound");
      await world.driver.prepare(call, active("b"), named("l"));
      await world.crash();
      expectSame(await shown(world, named("l")), await world.plain(base), "committed");
      expectSame(await world.read(await mountsOf(world, active("b"))), await world.plain(base), "its child");
      await expectCode(world.driver.remove(call, named("l")), "FailedPrecondition");
    },
  },
  {
    id: "storage/discarded",
    contract: "PrepareOptions.discarded",
    title: "a discarded snapshot is written, mounted again, also after the engine's death, viewed, and committed like any other",
    async run(world) {
      const { call } = world;
      const parent = await layer(world, "l", null, base);
      const written = [{ op: "write", path: "new", content: "x" }] as const;
      await world.edit(await world.driver.prepare(call, active("a"), parent, { volatile: true, discarded: true }), written);
      const more = [{ op: "write", path: "more", content: "y" }] as const;
      await world.edit(await mountsOf(world, active("a")), more);
      await world.crash();
      const whole = await world.plain(base, [...written, ...more]);
      expectSame(await world.read(await mountsOf(world, active("a"))), whole, "active");
      expectSame(await world.read(await world.driver.mounts(call, active("a"), { readOnly: true })), whole, "looked at");
      await world.driver.commit(call, named("m"), active("a"));
      expectSame(await shown(world, named("m")), whole, "committed");
    },
  },
  {
    id: "storage/race",
    contract: "If a `remove` and a `prepare` on top of it run at the same time, one is refused",
    title: "of a remove and a prepare on top of it at the same time, one is refused",
    async run(world) {
      const { driver, call } = world;
      for (let round = 0; round < 10; round++) {
        const parent = await layer(world, `l${round}`, null, []);
        const child = active(`a${round}`);
        const orders = [() => driver.remove(call, parent), () => driver.prepare(call, child, parent)];
        const results = await Promise.allSettled((round % 2 === 0 ? orders : orders.reverse()).map((verb) => verb()));
        const kept = (await listed(world)).map(({ key }) => String(key));
        const done = results.filter(({ status }) => status === "fulfilled").length;
        expect(done === 1, `${done} of the two were done`);
        expect(kept.includes(child) === kept.includes(parent), "a child without its parent");
      }
    },
  },
  {
    id: "storage/side-by-side",
    contract: "StorageDriver.prepare",
    title: "verbs for different keys run at the same time",
    async run(world) {
      const { driver, call } = world;
      const parent = await layer(world, "l", null, base);
      const keys = Array.from({ length: 16 }, (_, at) => active(`a${at}`));
      await Promise.all(
        keys.map(async (key) => {
          await world.edit(await driver.prepare(call, key, parent, { volatile: true }), [{ op: "write", path: "mine", content: key }]);
        }),
      );
      for (const key of keys) {
        expectSame(
          await world.read(await driver.mounts(call, key)),
          await world.plain(base, [{ op: "write", path: "mine", content: key }]),
          key,
        );
      }
      await Promise.all(keys.map((key) => driver.remove(call, key)));
      expect((await listed(world)).length === 1, "something is left");
    },
  },
  {
    id: "storage/thirty-two",
    contract: "StorageDriver.prepare",
    title: "thirty-two lives at once, each from prepare to remove, on one parent: none disturbs another, and nothing is left",
    async run(world) {
      const { driver, call } = world;
      const parent = await layer(world, "l", null, base);
      const live = async (at: number): Promise<void> => {
        const mine = [{ op: "write", path: "mine", content: `life ${at}` }] as const;
        await world.edit(await driver.prepare(call, active(`a${at}`), parent), mine);
        await driver.commit(call, named(`m${at}`), active(`a${at}`));
        const view = await driver.view(call, viewKey(`v${at}`), named(`m${at}`));
        expect((await world.read(view)).get("mine")?.content === `life ${at}`, `life ${at} sees another's`);
        await listed(world);
        await driver.usage(call, named(`m${at}`));
        await driver.remove(call, viewKey(`v${at}`));
        await driver.remove(call, named(`m${at}`));
      };
      await Promise.all(Array.from({ length: 32 }, (_, at) => live(at)));
      expect((await listed(world)).length === 1, "something is left");
      expectSame(await shown(world, parent), await world.plain(base), "parent");
    },
  },
  {
    id: "storage/mounts-to-look",
    contract: "MountsOptions.readOnly",
    title: "an active snapshot can be looked at while it is written: through mounts that nothing can be written through",
    async run(world) {
      const { driver, call } = world;
      const parent = await layer(world, "l", null, base);
      await world.edit(await driver.prepare(call, active("a"), parent), changes);
      const look = await driver.mounts(call, active("a"), { readOnly: true });
      expectSame(await world.read(look), await world.plain(base, changes), "look");
      const outcome = await world.edit(look, [{ op: "write", path: "new", content: "x" }]).then(
        () => "written",
        () => "refused",
      );
      expect(outcome === "refused", "a file was written through mounts that are to look only");
      await world.edit(await mountsOf(world, active("a")), [{ op: "write", path: "later", content: "x" }]);
      expect((await world.read(await mountsOf(world, active("a")))).has("later"), "it can't be written any more");
    },
  },
  {
    id: "storage/usage-real",
    contract: "Usage.bytes",
    title: "usage counts what is on disk: a hole not at all, a file with two names once",
    unless: (world) => (world.files === null ? "trees are no files here" : null),
    async run(world) {
      const { driver, call } = world;
      const mounts = await driver.prepare(call, active("a"), null);
      const before = await driver.usage(call, active("a"));
      await world.edit(mounts, [
        { op: "sparse", path: "hole", hole: 50_000_000, content: "x" },
        { op: "write", path: "big", content: "x".repeat(1_000_000) },
        { op: "link", path: "again", to: "big" },
      ]);
      const after = await driver.usage(call, active("a"));
      const grown = after.bytes - before.bytes;
      expect(grown >= 1_000_000 && grown < 1_500_000, `usage grew by ${grown} bytes for a megabyte`);
      expect(after.inodes - before.inodes === 2, `usage grew by ${after.inodes - before.inodes} inodes for two`);
    },
  },
  {
    id: "storage/usage",
    contract: "StorageDriver.usage",
    title: "usage grows with what is written",
    async run(world) {
      const { driver, call } = world;
      const mounts = await driver.prepare(call, active("a"), null);
      const before = await driver.usage(call, active("a"));
      await world.edit(mounts, [
        { op: "write", path: "big", content: "x".repeat(1_000_000) },
        { op: "write", path: "small", content: "x" },
      ]);
      const after = await driver.usage(call, active("a"));
      expect(after.bytes - before.bytes >= 1_000_000, `a megabyte more, but usage grew by ${after.bytes - before.bytes} bytes`);
      expect(after.inodes - before.inodes === 2, `two files more, but usage grew by ${after.inodes - before.inodes} inodes`);
    },
  },
];
