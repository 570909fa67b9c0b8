/** docs/errors.md and docs/hooks.md match the sources, in both directions. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { suite } from "@tsbox/harness";
import { hookKinds } from "../src/hooks.ts";
import { errorTable } from "../src/index.ts";

const test = suite("docs");
const root = new URL("../..", import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), "utf8");

/** The rows of the table under the heading row that begins with `first`, cells trimmed, without backquotes around them. */
function table(path: string, first: string): string[][] {
  const lines = read(path).split("\n");
  const start = lines.findIndex((line) => line.startsWith(`| ${first} |`));
  if (start === -1) return [];
  const rows = lines.slice(start + 2);
  const end = rows.findIndex((line) => !line.startsWith("|"));
  return rows.slice(0, end).map((line) =>
    line
      .slice(1, line.lastIndexOf("|"))
      .split(" | ")
      .map((cell) => cell.trim().replace(/^`(.*)`$/, "$1")),
  );
}

test("docs/errors.md lists every code with its meaning", () => {
  const expected = Object.entries(errorTable).map(([code, { meaning, retry, http, exit }]) => [
    code,
    meaning,
    retry,
    String(http),
    String(exit),
  ]);
  assert.deepEqual(table("docs/errors.md", "code"), expected);
});

test("docs/errors.md lists every reason in the sources, and no other", () => {
  const reasons = sources().flatMap((path) => [...read(path).matchAll(/\breason: "([a-z-]+\/[a-z0-9-]+)"/g)].map((match) => match[1]));
  assert.deepEqual(
    table("docs/errors.md", "reason").map((row) => row[0]),
    [...new Set(reasons)].sort(),
  );
});

test("docs/hooks.md lists every hook with its kind and what its doc comment says", () => {
  const documented = [...read("kernel/src/contract/hooks.ts").matchAll(/\/\*\*[\s*]*Kind: (\w+)\. (.*?)\s*\*\/\s+(\w+): Hook<"(\w+)"/gs)];
  for (const [, kind, , name, declared] of documented) assert.equal(kind, declared, `doc comment of ${name}`);
  assert.deepEqual(
    table("docs/hooks.md", "hook"),
    documented.map(([, kind, text, name]) => [name, kind, text?.replaceAll(/\s*\n\s*\*\s*/g, " ")]),
  );
  assert.deepEqual(Object.fromEntries(documented.map(([, kind, , name]) => [name, kind])), hookKinds);
});

test("each driver's README has a table of its powers that says what the source says", () => {
  const drivers = readdirSync(new URL("drivers", root), { encoding: "utf8" }).filter((name) =>
    existsSync(new URL(`drivers/${name}/README.md`, root)),
  );
  assert.ok(drivers.length > 0);
  for (const driver of drivers) {
    const rows = table(`drivers/${driver}/README.md`, "power");
    const has = rows.filter((row) => row[1]?.startsWith("yes")).map((row) => row[0]);
    const source = sources()
      .filter((path) => path.startsWith(`drivers/${driver}/src/`))
      .map(read)
      .join("\n");
    const declared = /\bpowers(?:: readonly \(keyof \w+\)\[\] =|:) \[(.*?)\]/s.exec(source)?.[1] ?? "";
    assert.deepEqual(
      has,
      [...declared.matchAll(/"(\w+)"/g)].map((match) => match[1]),
      driver,
    );
  }
});

function sources(): readonly string[] {
  return ["kernel/src", "plugins", "drivers"].flatMap((folder) =>
    readdirSync(new URL(folder, root), { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".ts") && !path.includes("node_modules") && !path.includes("dist/") && !path.includes("test/"))
      .map((path) => `${folder}/${path}`),
  );
}
