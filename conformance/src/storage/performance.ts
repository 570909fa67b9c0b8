/** The times of prepare, commit and remove on chains of layers. */
import { asError, type SnapshotName } from "@tsbox/kernel";
import { type Measurement, measure, unmeasured } from "../measure.ts";
import { active, layer, named } from "./words.ts";
import type { StorageWorld } from "./world.ts";

const depths = [1, 10, 100] as const;
const verbs = ["prepare", "commit", "remove"] as const;

/** A layer holds one file, so the times are the driver's own and not those of its contents. */
export async function storagePerformance(makeWorld: () => Promise<StorageWorld>): Promise<readonly Measurement[]> {
  const found: Measurement[] = [];
  for (const depth of depths) {
    const world = await makeWorld();
    try {
      found.push(...(await atDepth(world, depth)));
    } finally {
      await world.close();
    }
  }
  return found;
}

async function atDepth(world: StorageWorld, depth: number): Promise<readonly Measurement[]> {
  const suffix = ` at depth ${depth}`;
  let top: SnapshotName | null = null;
  try {
    for (let at = 0; at < depth; at++)
      top = await layer(world, `base${at}`, top, [{ op: "write", path: `file${at}`, content: `layer ${at}` }]);
  } catch (thrown) {
    return unmeasured(
      verbs.map((verb) => `${verb}${suffix}`),
      asError(thrown).message,
    );
  }
  const { driver, call } = world;
  return measure(
    verbs,
    async (at, timed) => {
      const key = active(`a${at}`);
      const mounts = await timed("prepare", () => driver.prepare(call, key, top));
      await world.edit(mounts, [{ op: "write", path: "mine", content: `round ${at}` }]);
      await timed("commit", () => driver.commit(call, named(`m${at}`), key));
      await timed("remove", () => driver.remove(call, named(`m${at}`)));
    },
    suffix,
  );
}
