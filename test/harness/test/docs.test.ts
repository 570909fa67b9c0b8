/** Files, and functions in files, that the documents name must exist. */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { suite } from "../src/index.ts";

const test = suite("docs");
const root = join(import.meta.dirname, "..", "..", "..");
const documents = ["README.md", "CONTRIBUTING.md", ...globSync("docs/*.md", { cwd: root })];
const sources = globSync(["**/*.{ts,rs,mjs,json,toml,md}", "scripts/*", "native/**/*"], {
  cwd: root,
  exclude: (path) => /(^|\/)(node_modules|target|build|dist|\.git)(\/|$)/.test(path),
});
/** Finds files by their path from the root, or by its end. */
const find = (name: string): readonly string[] => sources.filter((path) => path === name || path.endsWith(`/${name}`));

for (const document of documents) {
  const text = readFileSync(join(root, document), "utf8");
  // Files of a user's host, or files that are made there, are not in the tree.
  const outside =
    /^(https?:|\/|~|\$|package\.json|config\.json|drivers\.json|record\.json|snapshot\.json|exec\.json|daemon\.json|generation\.json)/;

  test(`${document}: every source that it names exists`, () => {
    const named = [...text.matchAll(/`([\w@./-]+\.(?:ts|rs|mjs))`/g)].map(([, name]) => name ?? "").filter((name) => !outside.test(name));
    assert.deepEqual(
      named.filter((name) => find(name).length === 0),
      [],
    );
  });

  test(`${document}: every function that it names is in the file that it names`, () => {
    const wrong: string[] = [];
    for (const [, names = "", file = ""] of text.matchAll(/((?:`\w+`, )*`\w+`) in `([\w./-]+\.(?:ts|rs))`/g)) {
      const candidates = find(file).map((path) => readFileSync(join(root, path), "utf8"));
      for (const [, name = ""] of names.matchAll(/`(\w+)`/g))
        if (!candidates.some((source) => new RegExp(`\\b${name}\\b`).test(source))) wrong.push(`${name} in ${basename(file)}`);
    }
    assert.deepEqual(wrong, []);
  });
}
