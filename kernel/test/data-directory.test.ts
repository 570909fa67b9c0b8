import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Case, suite } from "@tsbox/harness";
import { isTsboxError } from "../src/index.ts";
import { type TestPlugin, type World, world } from "./world.ts";

const test = suite("data directories");

const driver: TestPlugin = {
  name: "tsbox-storage-zfs",
  manifest: { kernel: "^1.0", provides: { "storage/zfs": "1.0.0" } },
  setup: `context.provideDriver("storage", "zfs", { async open() { return {}; } });`,
};
/** A world where an older engine has run with one driver, which it named by the path of its package. */
function older(test: Case): { readonly engine: World; readonly path: string; readonly root: string; readonly former: string } {
  const engine = world(test, [driver]);
  const path = join(engine.directory, "node_modules", driver.name);
  writeFileSync(join(engine.directory, "engine.json"), JSON.stringify({ plugins: [path] }));
  const root = join(engine.directory, "root");
  const former = join(root, path.replaceAll("/", "+"));
  mkdirSync(former, { recursive: true });
  writeFileSync(join(former, "layer"), "kept");
  return { engine, path, root, former };
}
const refused = (text: RegExp) => (error: unknown) => {
  assert.ok(isTsboxError(error) && text.test(error.message), String(error));
  return true;
};

test("a plugin with one offer has its name, others have the entry's or the package's", async (test) => {
  const one = (name: string, provides: object, setup = ""): TestPlugin => ({ name, manifest: { kernel: "^1.0", provides }, setup });
  const provide = (id: string): string => `context.provideDriver("storage", "${id}", { async open() { return {}; } });`;
  const engine = world(test, [
    one("tsbox-storage-zfs", { "storage/zfs": "1.0.0" }, provide("zfs")),
    one("tsbox-pair", { "storage/a": "1.0.0", "storage/b": "1.0.0" }, provide("a") + provide("b")),
    one("@acme/policy", {}),
    one("@tsbox/state", { state: "1.0.0" }, `context.provideService("state", { async open() { return {}; } });`),
  ]);
  const path = join(engine.directory, "node_modules/tsbox-pair");
  const plugins = ["tsbox-storage-zfs", path, "@acme/policy", { name: "strict", package: "@acme/policy" }, "@tsbox/state"];
  writeFileSync(join(engine.directory, "engine.json"), JSON.stringify({ plugins }));
  await engine.start();
  const expected = ["@acme+policy", "state", "storage-zfs", "strict", "tsbox-pair"];
  for (const base of ["root", "state"])
    assert.deepEqual(
      readdirSync(join(engine.directory, base)).filter((name) => name !== "drivers.json"),
      expected,
    );
});

test("two plugins never share a directory, and none has one of the engine's own", async (test) => {
  const twice = world(test, [{ name: "policy", manifest: { kernel: "^1.0" } }]);
  const path = join(twice.directory, "node_modules/policy");
  writeFileSync(join(twice.directory, "engine.json"), JSON.stringify({ plugins: ["policy", path] }));
  await assert.rejects(twice.start(), refused(/^policy and \/.*\/policy both have the directory policy: give one of them another "name"$/));
  const cache = world(test, [{ name: "cache", manifest: { kernel: "^1.0" } }]);
  await assert.rejects(cache.start(), refused(/^cache can't have the directory "cache", which the engine uses itself$/));
});

test("the directory of an older engine is renamed, with what it holds", async (test) => {
  const { engine, root, former } = older(test);
  const host = await engine.start();
  assert.equal(readFileSync(join(root, "storage-zfs/layer"), "utf8"), "kept");
  assert.ok(!existsSync(former));
  await host.stop();
  // Another path of the same package, and the next start.
  const moved = join(engine.directory, "elsewhere");
  renameSync(join(engine.directory, "node_modules", driver.name), moved);
  writeFileSync(join(engine.directory, "engine.json"), JSON.stringify({ plugins: [moved] }));
  await engine.start();
  assert.equal(readFileSync(join(root, "storage-zfs/layer"), "utf8"), "kept");
});

test("a start that was killed after one rename is continued by the next", async (test) => {
  const { engine, path, root, former } = older(test);
  renameSync(former, join(root, "storage-zfs"));
  const state = join(engine.directory, "state");
  const formerState = join(state, path.replaceAll("/", "+"));
  mkdirSync(formerState, { recursive: true });
  writeFileSync(join(formerState, "running"), "");
  await engine.start();
  assert.ok(existsSync(join(root, "storage-zfs/layer")) && existsSync(join(state, "storage-zfs/running")));
});

test("an empty directory gives way; two with content are the operator's to decide, and both stay", async (test) => {
  const { engine, root, former } = older(test);
  mkdirSync(join(root, "storage-zfs"));
  await (await engine.start()).stop();
  assert.equal(readFileSync(join(root, "storage-zfs/layer"), "utf8"), "kept");
  mkdirSync(former);
  await (await engine.start()).stop();
  assert.ok(!existsSync(former));
  mkdirSync(former);
  writeFileSync(join(former, "layer"), "other");
  await assert.rejects(
    engine.start(),
    refused(/has its data in .*\/storage-zfs, and older data in .*: move away the one that is not wanted/),
  );
  assert.equal(readFileSync(join(root, "storage-zfs/layer"), "utf8"), "kept");
  assert.equal(readFileSync(join(former, "layer"), "utf8"), "other");
});

test("a directory that belongs to another plugin today is not taken", async (test) => {
  const provider = (name: string, id: string): TestPlugin => ({
    name,
    manifest: { kernel: "^1.0", provides: { [`storage/${id}`]: "1.0.0" } },
    setup: `context.provideDriver("storage", "${id}", { async open() { return {}; } });`,
  });
  const engine = world(test, [provider("storage-b", "a"), provider("x", "b")]);
  const root = join(engine.directory, "root");
  mkdirSync(join(root, "storage-b"), { recursive: true });
  writeFileSync(join(root, "storage-b/layer"), "of b");
  await engine.start();
  assert.equal(readFileSync(join(root, "storage-b/layer"), "utf8"), "of b");
  assert.deepEqual(readdirSync(join(root, "storage-a")), []);
});
