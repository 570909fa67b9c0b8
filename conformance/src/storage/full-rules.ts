/**
 * A disk that is full in the middle of each verb: the verb is done or `ResourceExhausted`, nothing that was there is lost, nothing half
 * done is left, and with room again the verb is done.
 */
import { asError, exhaustion, fail, isTsboxError, supports } from "@tsbox/kernel";
import { expect, expectCode, type Rule } from "../rule.ts";
import { base, changes } from "./edits.ts";
import { type Edit, expectSame } from "./tree.ts";
import { active, layer, listed, mountsOf, named, shown, viewKey } from "./words.ts";
import type { FullWorld, StorageWorld } from "./world.ts";

/** `plain`: the oracle needs a disk with room. */
type Small = FullWorld & Pick<StorageWorld, "plain">;

interface Full {
  readonly verb: string;
  readonly needs?: readonly string[];
  /** It frees space: it must be done even if there is none. */
  readonly must?: boolean;
  run(small: Small): Promise<unknown>;
  /** What is there when it was done. */
  check(small: Small): Promise<void>;
}

const big: readonly Edit[] = [{ op: "write", path: "big", content: "x".repeat(4 << 20) }];

/** On the layer `l` stand `a`, with changes, and the view `v`. `b` is active, without a parent. `c` is committed, with nothing on it. */
const verbs: readonly Full[] = [
  {
    verb: "prepare",
    run: ({ world }) => world.driver.prepare(world.call, active("new"), named("l")),
    check: async ({ world, plain }) => expectSame(await world.read(await mountsOf(world, active("new"))), await plain(base), "new"),
  },
  {
    verb: "view",
    run: ({ world }) => world.driver.view(world.call, viewKey("new"), named("l")),
    check: async ({ world, plain }) => expectSame(await world.read(await mountsOf(world, viewKey("new"))), await plain(base), "new"),
  },
  {
    verb: "commit",
    run: ({ world }) => world.driver.commit(world.call, named("new"), active("a")),
    check: async ({ world, plain }) => expectSame(await shown(world, named("new")), await plain(base, changes), "new"),
  },
  {
    verb: "remove",
    must: true,
    run: ({ world }) => world.driver.remove(world.call, named("c")),
    check: ({ world }) => expectCode(world.driver.stat(world.call, named("c")), "NotFound"),
  },
  {
    verb: "mounts",
    run: ({ world }) => world.driver.mounts(world.call, active("a"), { readOnly: true }),
    check: async ({ world, plain }) => expectSame(await world.read(await mountsOf(world, active("a"))), await plain(base, changes), "a"),
  },
  {
    verb: "apply",
    needs: ["apply"],
    run: async ({ world, layer: file }) => {
      if (!supports(world.driver, "apply") || file === null) throw fail("Internal", "this rule needs power apply");
      await world.driver.apply(world.call, active("b"), file);
    },
    check: async ({ world }) => expect((await world.read(await mountsOf(world, active("b")))).has("big"), "what was applied is not there"),
  },
  {
    verb: "settle",
    needs: ["settle"],
    run: async ({ world }) => {
      if (!supports(world.driver, "settle")) throw fail("Internal", "this rule needs power settle");
      await world.driver.settle(world.call, active("b"));
    },
    check: async ({ world }) => void (await world.driver.stat(world.call, active("b"))),
  },
];

export const fullRules: readonly Rule<StorageWorld>[] = verbs.map(
  (full): Rule<StorageWorld> => ({
    id: `storage/full-in-${full.verb}`,
    contract: "On a full disk a verb is `ResourceExhausted`, or done",
    title: `on a full disk ${full.verb} is ${full.must ? "done" : "done or ResourceExhausted"}; nothing is lost or half done, and with room it works`,
    ...(full.needs === undefined ? {} : { needs: full.needs }),
    unless: (world) => world.whyNotFull,
    async run(outer) {
      await within({ ...(await outer.small(big)), plain: (...edits) => outer.plain(...edits) }, full);
    },
  }),
);

async function within(small: Small, full: Full): Promise<void> {
  const { world } = small;
  const parent = await layer(world, "l", null, base);
  await layer(world, "c", null, base);
  await world.edit(await world.driver.prepare(world.call, active("a"), parent), changes);
  await world.driver.prepare(world.call, active("b"), null, { volatile: true });
  await world.driver.view(world.call, viewKey("v"), parent);
  const before = await keys(world);
  await small.fill();
  const outcome = await outcomeOf(full.run(small));
  expect(
    outcome === "done" || (outcome === "ResourceExhausted" && full.must !== true),
    `with a full disk it is ${outcome} instead of ${full.must ? "done" : "done or ResourceExhausted"}`,
  );
  if (outcome !== "done") expect((await keys(world)) === before, `it was refused, and the list has changed to ${await keys(world)}`);
  await intact(small, outcome === "done" && full.verb === "commit");
  await small.free();
  // What was half made must not come back with the next engine.
  await world.crash();
  if (outcome !== "done") {
    expect((await keys(world)) === before, `after the engine's death the list is ${await keys(world)} instead of ${before}`);
    const again = await outcomeOf(full.run(small));
    expect(again === "done", `with room again it is ${again}`);
  }
  await full.check(small);
  await intact(small, full.verb === "commit");
}

/** The trees that the verb does not concern. */
async function intact({ world, plain }: Small, committed: boolean): Promise<void> {
  expectSame(await world.read(await mountsOf(world, viewKey("v"))), await plain(base), "what was committed before");
  const look = committed ? null : await world.driver.mounts(world.call, active("a"), { readOnly: true });
  if (look !== null) expectSame(await world.read(look), await plain(base, changes), "what was active before");
}

const keys = async (world: StorageWorld): Promise<string> => (await listed(world)).map(({ kind, key }) => `${kind} ${key}`).join(", ");

/** A system call's own error is, for a driver's callers, what the kernel makes of it. */
const outcomeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "done",
    (thrown: unknown) => {
      const error = isTsboxError(thrown) ? thrown : exhaustion(asError(thrown));
      return error?.code ?? `an error that is not ours: ${String(thrown)}`;
    },
  );
