/** Comments and documents have at most 140 characters a line; the formatters enforce that for code. */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { suite } from "../src/index.ts";

const test = suite("lines");
const root = join(import.meta.dirname, "..", "..", "..");
const longest = 140;
const files = globSync(["**/*.{ts,rs,mjs,md}"], {
  cwd: root,
  exclude: (path) => /(^|\/)(node_modules|target|build|dist|\.git)(\/|$)/.test(path),
});

test("no comment is longer", () => {
  const long: string[] = [];
  for (const file of files.filter((path) => !path.endsWith(".md")))
    for (const [at, line] of readFileSync(join(root, file), "utf8").split("\n").entries())
      if ([...line].length > longest && /^\s*(\/\/|\/\*\*|\* )/.test(line) && !line.includes("biome-ignore"))
        long.push(`${file}:${at + 1}`);
  assert.deepEqual(long, []);
});

test("no paragraph of a document is longer; tables and what is quoted are as wide as they are", () => {
  const long: string[] = [];
  for (const file of files.filter((path) => path.endsWith(".md"))) {
    let isQuoted = false;
    for (const [at, line] of readFileSync(join(root, file), "utf8").split("\n").entries()) {
      if (line.startsWith("```")) isQuoted = !isQuoted;
      if (!isQuoted && !/^(\||#| {4})/.test(line) && [...line].length > longest) long.push(`${file}:${at + 1}`);
    }
  }
  assert.deepEqual(long, []);
});
