/** Unsafe Rust code states why it is sound, as docs/architecture.md promises. Clippy has the same rule; this test needs no clippy. */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { suite } from "../src/index.ts";

const test = suite("unsafe");
const root = join(import.meta.dirname, "..", "..", "..");

/**
 * Lines with an unsafe block or implementation without a `SAFETY:` sentence in the comment above them. The lines between the comment and
 * the word `unsafe` are the beginning of the same statement: at most five lines.
 */
function undocumented(source: string): readonly number[] {
  const lines = source.split("\n");
  const found: number[] = [];
  for (const [at, line] of lines.entries()) {
    if (!/\bunsafe\s*(\{|impl\b)/.test(line.replace(/\/\/.*/, ""))) continue;
    let above = at - 1;
    for (let left = 5; left > 0 && above >= 0 && !isComment(lines[above]); left -= 1) above -= 1;
    let says = false;
    for (; above >= 0 && isComment(lines[above]); above -= 1) says ||= lines[above]?.includes("SAFETY:") ?? false;
    if (!says) found.push(at + 1);
  }
  return found;
}

const isComment = (line: string | undefined): boolean => /^\s*\/\//.test(line ?? "");

test("every block of unsafe code says why it is sound", () => {
  const wrong: string[] = [];
  for (const path of globSync("native/*/{src,tests,examples}/**/*.rs", { cwd: root }))
    for (const line of undocumented(readFileSync(join(root, path), "utf8"))) wrong.push(`${path}:${line}`);
  assert.deepEqual(wrong, []);
});

test("the search finds what it is to find", () => {
  const bad = "fn f() {\n    let x = 1;\n    unsafe { g(x) }\n}\n";
  assert.deepEqual(undocumented(bad), [3]);
  const good = "fn f() {\n    // SAFETY: g takes any number.\n    let x =\n        unsafe { g(1) };\n}\n";
  assert.deepEqual(undocumented(good), []);
  assert.deepEqual(undocumented("// unsafe { no code }\nunsafe fn f() {}\n"), []);
});
