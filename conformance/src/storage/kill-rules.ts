/**
 * kill -9 within each verb, at any moment: finished verbs stay done, an unfinished one is either done or not, and nothing half done
 * remains.
 */
import { expect, type Rule } from "../rule.ts";
import { base } from "./edits.ts";
import { expectSame } from "./tree.ts";
import { active, layer, listed, named, shown } from "./words.ts";
import type { StorageWorld } from "./world.ts";

const verbs = ["prepare", "view", "commit", "remove", "apply"] as const;
const rounds = 3;

export const killRules: readonly Rule<StorageWorld>[] = verbs.map(
  (verb): Rule<StorageWorld> => ({
    id: `storage/killed-in-${verb}`,
    contract: "A crash leaves a tree under its key or its name, and never loses both",
    title: `killed within ${verb}, a driver finds on its next start what was done, and nothing half done`,
    ...(verb === "apply" ? { needs: ["apply"] } : {}),
    unless: (world) => (world.files?.kill === undefined ? "the driver can't be opened in a process of its own here" : null),
    async run(world) {
      await layer(world, "parent", null, base);
      for (let round = 0; round < rounds; round += 1) {
        const printed = (await world.files?.kill?.(verb, 3 + round * 17)) ?? [];
        await world.crash();
        await check(world, verb, printed);
        await sweep(world);
      }
      expectSame(await shown(world, named("parent")), await world.plain(base), "parent");
    },
  }),
);

/** `printed`: the victim's output, a line for each begin and end of the verb. */
async function check(world: StorageWorld, verb: (typeof verbs)[number], printed: readonly string[]): Promise<void> {
  const done = printed.filter((line) => line.startsWith("done ")).map((line) => Number(line.slice("done ".length)));
  expect(
    printed.some((line) => line.startsWith("begin ")),
    "it was killed before it began",
  );
  const keys = new Map((await listed(world)).map((snapshot) => [String(snapshot.key), snapshot.kind]));
  for (const at of done) {
    if (verb === "prepare") expect(keys.get(`prepare${at}`) === "active", `prepare${at} was done and is not there`);
    if (verb === "view") expect(keys.get(`view${at}`) === "view", `view${at} was done and is not there`);
    if (verb === "remove") expect(!keys.has(`before${at}`), `before${at} was removed and is there`);
    if (verb !== "commit") continue;
    expect(keys.get(`commit${at}`) === "committed" && !keys.has(`before${at}`), `commit${at} was done and is not there`);
  }
  // The snapshot of the interrupted verb exists either under its key or under its name, and is complete.
  const last = Math.max(-1, ...done) + 1;
  if (verb === "commit" && printed.includes(`begin ${last}`))
    expect(
      keys.has(`before${last}`) !== keys.has(`commit${last}`),
      `what was being committed is there ${keys.has(`before${last}`) ? "twice" : "no more"}`,
    );
  for (const [key, kind] of keys) {
    if (kind === "committed") {
      const tree = await shown(world, named(key));
      if (key.startsWith("commit")) expect(tree.get("mine")?.content === `number ${key.slice("commit".length)}`, `${key} is not whole`);
    } else await world.read(await world.driver.mounts(world.call, active(key)));
  }
}

/** Everything except the parent can be removed. */
async function sweep(world: StorageWorld): Promise<void> {
  for (const { key } of await listed(world)) if (key !== "parent") await world.driver.remove(world.call, key);
  expect((await listed(world)).length === 1, "something can't be removed");
}
