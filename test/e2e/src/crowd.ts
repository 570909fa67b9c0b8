/** Many containers at once. */
import * as assert from "uvu/assert";
import type { Engine } from "./engine.ts";

/** Clients at a time: each is a process of the test's. */
const clients = 8;

/** `count` containers of an image with a shell run side by side, are all listed, and are all removed. */
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
