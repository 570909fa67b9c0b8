/** The lint rule against comparisons of a driver's id reports each of them, and nothing else. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Case, suite, temporaryDirectory } from "@tsbox/harness";

const test = suite("lint: no driver id");
const root = fileURLToPath(new URL("../..", import.meta.url));

function flagged(test: Case, source: string, path = "plugins/containers/src/sample.ts"): boolean {
  const directory = temporaryDirectory(test);
  const file = join(directory, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${source}\n`);
  const biome = join(root, "node_modules/.bin/biome");
  const child = spawnSync(biome, ["lint", `--config-path=${join(root, "biome.json")}`, path], { cwd: directory, encoding: "utf8" });
  assert.match(child.stdout + child.stderr, /Checked 1 file/);
  return /Don't compare a driver's id/.test(child.stdout + child.stderr);
}

for (const source of [
  `export const f = (driver: { id: string }) => driver.id === "overlay";`,
  `export const f = (x: { storageDriver: { id: string } }) => "vfs" !== x.storageDriver.id;`,
  `export const f = (storage: { id: string } | null) => storage?.id == "vfs";`,
  `export const f = (network: { id: string }) => network.id === "bridge";`,
]) {
  test(`flagged: ${source}`, (test) => assert.ok(flagged(test, source)));
}

test("not flagged: a record's id, another member, the host's own choice", (test) => {
  assert.ok(!flagged(test, `export const f = (network: { id: string }, other: { id: string }) => network.id === other.id;`));
  assert.ok(!flagged(test, `export const f = (container: { id: string }) => container.id === "x";`));
  assert.ok(!flagged(test, `export const f = (driver: { identity: string }) => driver.identity === "x";`));
  assert.ok(!flagged(test, `export const f = (driver: { id: string }) => driver.id === "overlay";`, "kernel/src/host/sample.ts"));
});
