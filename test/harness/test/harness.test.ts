/** The harness must be able to fail: each case runs a small test file and checks its exit code and its last line. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { assertNothingLeft, type Case, hostSnapshot, suite, temporaryDirectory } from "../src/index.ts";

const test = suite("harness");
const harness = new URL("../src/index.ts", import.meta.url).href;
const runner = fileURLToPath(new URL("../src/run.ts", import.meta.url));

function file(test: Case, source: string): string {
  const path = `${temporaryDirectory(test)}/case.test.ts`;
  writeFileSync(path, `import { suite } from "${harness}";\n${source}\n`);
  return path;
}

function run(test: Case, source: string): { readonly code: number | null; readonly last: string; readonly all: string } {
  const child = spawnSync(process.execPath, [file(test, source)], { encoding: "utf8" });
  return { code: child.status, last: child.stdout.trimEnd().split("\n").at(-1) ?? "", all: child.stdout + child.stderr };
}

test("counts what passes, fails and is skipped, and says why", (test) => {
  const { code, last, all } = run(
    test,
    `const t = suite("s");
     t("a", () => {}); t("b", () => { throw new Error("no"); }); t.skip("c", "no reason"); t.skipIf("moon", "d", () => {}); t.skipIf(null, "e", () => {});
     t("f", (c) => c.skip("inside"));`,
  );
  assert.equal(last, "2 passed, 1 failed, 3 skipped");
  assert.equal(code, 1);
  assert.match(all, /skipped: s › d: moon/);
  assert.match(all, /skipped: s › f: inside/);
});

test("all green is exit 0", (test) => {
  assert.deepEqual(
    { ...run(test, `suite("s")("a", async () => {});`), all: "" },
    { code: 0, last: "1 passed, 0 failed, 0 skipped", all: "" },
  );
});

for (const [what, source] of [
  ["a suite without cases", `suite("s");`],
  ["a file without a suite", ""],
  ["something thrown that is no error", `suite("s")("a", () => { throw null; });`],
  ["a case that never ends", `suite("s")("a", () => new Promise(() => {}));`],
  ["a case beyond its time", `suite("s", { timeout: 50 })("a", () => new Promise((done) => setTimeout(done, 500)));`],
  ["a clean-up that throws", `suite("s")("a", (c) => { c.cleanup(() => { throw new Error("late"); }); });`],
  [
    "an unhandled rejection",
    `suite("s")("a", () => { Promise.reject(new Error("stray")); return new Promise((done) => setTimeout(done, 50)); });`,
  ],
  [
    "an exception outside the case",
    `suite("s")("a", () => { setTimeout(() => { throw new Error("stray"); }, 0); return new Promise((done) => setTimeout(done, 50)); });`,
  ],
  ["a skip whose clean-up throws", `suite("s")("a", (c) => { c.cleanup(() => { throw new Error("late"); }); c.skip("moon"); });`],
] as const) {
  test(`${what} is a failure`, (test) => {
    const { code, last } = run(test, source);
    assert.equal(code, 1);
    assert.match(last, /^\d+ passed, [1-9]\d* failed, \d+ skipped$/);
  });
}

test("a throw during import is a failure", (test) => {
  assert.notEqual(run(test, `suite("s")("a", () => {}); throw new Error("import");`).code, 0);
});

test("cases after a top-level await run", (test) => {
  assert.equal(
    run(test, `await new Promise((done) => setTimeout(done, 50)); suite("s")("a", () => {});`).last,
    "1 passed, 0 failed, 0 skipped",
  );
});

test("clean-up runs in reverse, also after a failure", (test) => {
  const { all } = run(
    test,
    `suite("s")("a", (c) => { c.cleanup(() => console.log("one")); c.cleanup(() => console.log("two")); throw new Error("no"); });`,
  );
  assert.match(all, /two\none/);
});

test("the runner adds up files, and a file that prints no counts fails", (test) => {
  const good = file(test, `suite("s")("a", () => {});`);
  const mute = file(test, `process.exit(0);`);
  const bad = file(test, `suite("s")("a", () => { throw new Error("no"); });`);
  const child = spawnSync(process.execPath, [runner, "--jobs", "2", good, mute, bad], { encoding: "utf8" });
  assert.equal(child.stdout.trimEnd().split("\n").at(-1), "1 passed, 2 failed, 0 skipped");
  assert.equal(child.status, 1);
  assert.match(child.stdout, /printed no counts/);
});

test("a leak is seen, and only one with the marker", async (test) => {
  const directory = temporaryDirectory(test);
  const before = hostSnapshot(directory);
  const { spawn } = await import("node:child_process");
  const child = spawn("sleep", ["60"], { cwd: directory });
  test.cleanup(() => child.kill("SIGKILL"));
  await assert.rejects(assertNothingLeft(before, 0), /process \d+ sleep 60/);
  await assertNothingLeft(hostSnapshot("no-such-marker-on-this-host"), 0);
  child.kill("SIGKILL");
  await assertNothingLeft(before);
});
