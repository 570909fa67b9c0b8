/** The lint rule against comparisons of a driver's id reports each of them, and nothing else. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Case, suite, temporaryDirectory } from "@tsbox/harness";

const test = suite("lint: no driver id");
const root = fileURLToPath(new URL("../..", import.meta.url));

interface Report {
  readonly summary: { readonly unchanged: number };
  readonly diagnostics: readonly { readonly message: string; readonly location: { readonly path: string } }[];
}

/** The sources that the rule reports. Each of them is a file of its own in the folder. */
function flagged(test: Case, sources: readonly string[], folder = "plugins/containers/src"): readonly string[] {
  const directory = temporaryDirectory(test);
  const path = (at: number): string => join(folder, `sample${at}.ts`);
  mkdirSync(join(directory, folder), { recursive: true });
  for (const [at, source] of sources.entries()) writeFileSync(join(directory, path(at)), `${source}\n`);
  const argv = ["lint", "--reporter=json", "--max-diagnostics=none", `--config-path=${join(root, "biome.json")}`, folder];
  const child = spawnSync(join(root, "node_modules/.bin/biome"), argv, { cwd: directory, encoding: "utf8" });
  const { summary, diagnostics } = JSON.parse(child.stdout) as Report;
  assert.equal(summary.unchanged, sources.length, child.stderr);
  const reported = diagnostics.flatMap(({ message, location }) => (message.startsWith("Don't compare a driver's id") ? location.path : []));
  return sources.filter((_, at) => reported.includes(path(at)));
}

test("flagged: comparisons with an operator, a list and a switch", (test) => {
  const sources = [
    `export const f = (driver: { id: string }) => driver.id === "overlay";`,
    `export const f = (x: { storageDriver: { id: string } }) => "vfs" !== x.storageDriver.id;`,
    `export const f = (storage: { id: string } | null) => storage?.id == "vfs";`,
    `export const f = (network: { id: string }) => network.id === "bridge";`,
    `export const f = (network: { driver: string }) => network.driver === "host";`,
    `export const f = (scheme: string) => ("docker" !== scheme ? 1 : 2);`,
    `export const f = (image: { scheme: string } | null) => image?.scheme === "host";`,
    `export const f = (storageDriver: string) => storageDriver === "overlay";`,
    `export const f = (driver: string) => ["host", "none"].includes(driver);`,
    `export const f = (driver: string) => { switch (driver) { case "host": return 1; default: return 2; } };`,
  ];
  assert.deepEqual(flagged(test, sources), sources);
});

test("not flagged: a record's id, another member, a user's word, a type", (test) => {
  const sources = [
    `export const f = (network: { id: string }, other: { id: string }) => network.id === other.id;`,
    `export const f = (container: { id: string }) => container.id === "x";`,
    `export const f = (driver: { identity: string }) => driver.identity === "x";`,
    `export const f = (network: { driver: string }, word: string) => network.driver === word;`,
    `export const f = (driver: unknown) => typeof driver === "string" && driver !== "";`,
    `export const f = (drivers: readonly string[], word: string) => drivers.includes(word);`,
  ];
  assert.deepEqual(flagged(test, sources), []);
});

test("not flagged: the host's own choice", (test) => {
  assert.deepEqual(flagged(test, [`export const f = (driver: { id: string }) => driver.id === "overlay";`], "kernel/src/host"), []);
});
