/**
 * Cancellation of each verb, before it begins and at several moments after that: the verb is done, or it is `Canceled` and has changed
 * nothing. Either way it answers soon, and the same verb on other keys works as ever.
 */
import { existsSync } from "node:fs";
import { type Call, deriveCall, fail, isTsboxError, type LayerFile, type StoragePowers, supports } from "@tsbox/kernel";
import { Broken, expect, type Rule } from "../rule.ts";
import { base, changes } from "./edits.ts";
import { expectSame } from "./tree.ts";
import { active, layer, listed, mountsOf, named, shown, viewKey } from "./words.ts";
import type { StorageWorld } from "./world.ts";

/** Milliseconds from the verb's begin to its cancellation; null: before it. */
const moments = [null, 0, 1, 4] as const;
/** Milliseconds within which a canceled verb answers. */
const answerTimeout = 5_000;

interface Verb {
  readonly verb: string;
  readonly contract: string;
  readonly needs?: keyof StoragePowers;
  /** The verb's work is on real files. */
  readonly files?: true;
  /** What has to be there before; `at` makes the keys of each moment its own. */
  arrange?(world: StorageWorld, at: number): Promise<unknown>;
  /** `arranged`: what `arrange` answered. */
  act(world: StorageWorld, call: Call, at: number, arranged: unknown): Promise<unknown>;
  /** Throws `Broken` if the verb answered, and is not done in full. */
  done?(world: StorageWorld, at: number): Promise<void>;
  /** Throws `Broken` if the verb was canceled, and has left something. By default the list must be as before. */
  undone?(world: StorageWorld, at: number, arranged: unknown): Promise<void>;
}

const parent = named("parent");
const written = async (world: StorageWorld, at: number): Promise<void> =>
  world.edit(await world.driver.prepare(world.call, active(`a${at}`), parent), changes);
const keyIs = async (world: StorageWorld, key: string, edits: typeof changes): Promise<void> =>
  expectSame(await world.read(await mountsOf(world, active(key))), await world.plain(base, edits), key);
const power = <P extends keyof StoragePowers>(world: StorageWorld, name: P): StoragePowers[P] => {
  const { driver } = world;
  if (!supports(driver, name)) throw fail("Internal", `this rule needs power ${name}`);
  return driver;
};

const verbs: readonly Verb[] = [
  {
    verb: "prepare",
    contract: "StorageDriver.prepare",
    act: ({ driver }, call, at) => driver.prepare(call, active(`a${at}`), parent),
    done: (world, at) => keyIs(world, `a${at}`, []),
  },
  {
    verb: "view",
    contract: "StorageDriver.view",
    act: ({ driver }, call, at) => driver.view(call, viewKey(`v${at}`), parent),
    done: (world, at) => keyIs(world, `v${at}`, []),
  },
  {
    verb: "mounts",
    contract: "StorageDriver.mounts",
    arrange: written,
    act: ({ driver }, call, at) => driver.mounts(call, active(`a${at}`)),
    done: (world, at) => keyIs(world, `a${at}`, changes),
    undone: (world, at) => keyIs(world, `a${at}`, changes),
  },
  {
    verb: "commit",
    contract: "StorageDriver.commit",
    arrange: written,
    act: ({ driver }, call, at) => driver.commit(call, named(`m${at}`), active(`a${at}`)),
    done: async (world, at) => expectSame(await shown(world, named(`m${at}`)), await world.plain(base, changes), "committed"),
    undone: (world, at) => keyIs(world, `a${at}`, changes),
  },
  {
    verb: "remove",
    contract: "StorageDriver.remove",
    arrange: written,
    act: ({ driver }, call, at) => driver.remove(call, active(`a${at}`)),
    done: async (world, at) => expect(!(await listed(world)).some(({ key }) => key === `a${at}`), "it was removed and is listed"),
    undone: (world, at) => keyIs(world, `a${at}`, changes),
  },
  {
    verb: "stat",
    contract: "StorageDriver.stat",
    act: ({ driver }, call) => driver.stat(call, parent),
  },
  {
    verb: "usage",
    contract: "StorageDriver.usage",
    act: ({ driver }, call) => driver.usage(call, parent),
  },
  {
    verb: "list",
    contract: "StorageDriver.list",
    act: async ({ driver }, call) => {
      for await (const _ of await driver.list(call));
    },
  },
  {
    verb: "apply",
    contract: "Applies.apply",
    needs: "apply",
    files: true,
    arrange: async (world, at) => {
      await world.driver.prepare(world.call, active(`a${at}`), null);
      return wholeLayer(world);
    },
    act: (world, call, at, file) => power(world, "apply").apply(call, active(`a${at}`), file as LayerFile),
    done: async (world, at) =>
      expectSame(await world.read(await mountsOf(world, active(`a${at}`))), await world.plain(base), "what was applied"),
    // Half a layer may be there: its key is removed by whoever made it.
    undone: (world, at) => world.driver.remove(world.call, active(`a${at}`)),
  },
  {
    verb: "diff",
    contract: "Diffs.diff",
    needs: "diff",
    files: true,
    arrange: async (world, at) => {
      await written(world, at);
      return world.files?.newLayer();
    },
    act: (world, call, at, into) => power(world, "diff").diff(call, parent, active(`a${at}`), into as LayerFile),
    done: (world, at) => keyIs(world, `a${at}`, changes),
    undone: async (world, at, into) => {
      expect(!existsSync((into as LayerFile).path), "half a layer is left in its file");
      await keyIs(world, `a${at}`, changes);
    },
  },
  {
    verb: "changes",
    contract: "Lists.changes",
    needs: "changes",
    files: true,
    arrange: written,
    act: async (world, call, at) => {
      for await (const _ of await power(world, "changes").changes(call, parent, active(`a${at}`)));
    },
    undone: (world, at) => keyIs(world, `a${at}`, changes),
  },
  {
    verb: "adopt",
    contract: "Adopts.adopt",
    needs: "adopt",
    files: true,
    arrange: (world) => world.files?.directory(base) ?? Promise.resolve(),
    act: (world, call, at, directory) => power(world, "adopt").adopt(call, named(`h${at}`), directory as string),
    done: async (world, at) => expectSame(await shown(world, named(`h${at}`)), await world.plain(base), "adopted"),
  },
  {
    verb: "reclaim",
    contract: "Reclaims.reclaim",
    needs: "reclaim",
    arrange: async (world, at) => {
      await written(world, at);
      await world.driver.remove(world.call, active(`a${at}`));
    },
    act: (world, call) => power(world, "reclaim").reclaim(call),
    undone: async (world) => void (await power(world, "reclaim").reclaim(world.call)),
  },
  {
    verb: "settle",
    contract: "Settles.settle",
    needs: "settle",
    arrange: async (world, at) => world.edit(await world.driver.prepare(world.call, active(`a${at}`), parent, { volatile: true }), changes),
    act: (world, call, at) => power(world, "settle").settle(call, active(`a${at}`)),
    done: (world, at) => keyIs(world, `a${at}`, changes),
    undone: (world, at) => keyIs(world, `a${at}`, changes),
  },
];

export const cancelRules: readonly Rule<StorageWorld>[] = verbs.map(
  (one): Rule<StorageWorld> => ({
    id: `storage/canceled-${one.verb}`,
    contract: one.contract,
    title: `a canceled ${one.verb} is done, or Canceled and nothing has changed`,
    ...(one.needs === undefined ? {} : { needs: [one.needs] }),
    unless: (world) => (one.files && world.files === null ? "trees are no files here" : null),
    async run(world) {
      await layer(world, "parent", null, base);
      for (const [at, moment] of moments.entries()) await cancelOnce(world, one, at, moment);
      expectSame(await shown(world, parent), await world.plain(base), "parent");
    },
  }),
);

async function cancelOnce(world: StorageWorld, one: Verb, at: number, moment: number | null): Promise<void> {
  const arranged = await one.arrange?.(world, at);
  const before = JSON.stringify(await listed(world));
  const stop = new AbortController();
  const cancel = (): void => stop.abort(fail("Canceled", "nobody waits for it"));
  if (moment === null) cancel();
  const acting = one.act(world, deriveCall(world.call, { signal: stop.signal }), at, arranged);
  const timer = moment === null || moment === 0 ? null : setTimeout(cancel, moment);
  if (moment === 0) cancel();
  const outcome = await soon(acting).finally(() => clearTimeout(timer ?? undefined));
  if (outcome === "done") {
    await one.done?.(world, at);
    return;
  }
  const after = JSON.stringify(await listed(world));
  expect(after === before, `it was canceled, and the list has changed from ${before} to ${after}`);
  await one.undone?.(world, at, arranged);
}

async function soon(acting: Promise<unknown>): Promise<"done" | "canceled"> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Broken(`it has not answered ${answerTimeout / 1000} s after it was canceled`)), answerTimeout);
  try {
    await Promise.race([acting, late]);
    return "done";
  } catch (error) {
    if (isTsboxError(error) && error.code === "Canceled") return "canceled";
    if (error instanceof Broken) throw error;
    throw new Broken(`expected Canceled, got ${isTsboxError(error) ? error.code : `an error that is not ours: ${String(error)}`}`);
  } finally {
    clearTimeout(timer);
  }
}

/** A layer with the base's tree. */
async function wholeLayer(world: StorageWorld): Promise<LayerFile | undefined> {
  const source = await world.files?.directory(base);
  return world.files?.slowDiff(null, [{ type: "bind", source: source ?? "", target: null, options: ["ro"] }]);
}
