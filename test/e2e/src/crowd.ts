/** Many containers at once. */
import * as assert from "uvu/assert";
import type { Engine } from "./engine.ts";

/** Concurrent clients: each is a process of the test. */
const clients = 8;

/** Runs `count` containers of an image with a shell concurrently, checks that all are listed, and removes all. */
export async function crowd(own: Engine, image: string, count: number): Promise<void> {
  let next = 0;
  const starter = async (): Promise<void> => {
    while (next < count) {
      next += 1;
      await own.ok(["run", "-d", "--net", "none", image, "sleep", "100000"]);
    }
  };
  await Promise.all(Array.from({ length: clients }, starter));
  const ids = (await own.ok(["ps", "-q"])).trim().split("\n");
  assert.is(ids.length, count);
  await own.ok(["rm", "-f", ...ids], { timeout: 300_000 });
  assert.is(await own.ok(["ps", "-aq"]), "");
}
