/** The bounds are the same in both languages. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { limits } from "../src/limits.ts";

const test = suite("limits");

test("what both languages bound has the same bound in both", () => {
  const source = readFileSync(join(import.meta.dirname, "../../native/core/src/limits.rs"), "utf8");
  const native = new Map<string, number>();
  for (const [, name = "", first = "", shift = "0"] of source.matchAll(/^pub const (\w+): \w+ = (\d+)(?: << (\d+))?;$/gm))
    native.set(
      name.toLowerCase().replace(/_(\w)/g, (_all, letter: string) => letter.toUpperCase()),
      Number(first) * 2 ** Number(shift),
    );
  const shared = Object.entries(limits).filter(([name]) => native.has(name));
  for (const [name, bound] of shared) assert.is(native.get(name), bound, name);
  assert.equal(shared.map(([name]) => name).sort(), [
    "largestAttributes",
    "largestHeader",
    "largestMemory",
    "largestTrailer",
    "longestName",
    "longestPath",
  ]);
});
