import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite } from "@tsbox/harness";
import { contractVersions } from "../src/index.ts";
import { world } from "./world.ts";

const test = suite("one kernel");

/** A package as npm installs it: compiled, while its manifest names sources for a checkout. */
function installed(folder: string, name: string, code: string): void {
  const directory = join(folder, "node_modules", name);
  mkdirSync(join(directory, "dist"), { recursive: true });
  const exports = { ".": { "tsbox-source": "./src/index.ts", default: "./dist/index.js" } };
  writeFileSync(join(directory, "package.json"), JSON.stringify({ name, version: "0.0.1", type: "module", exports }));
  writeFileSync(join(directory, "dist/index.js"), code);
}

for (const [what, take] of [
  ["imports", `import * as kernel from "@tsbox/kernel"; import { word } from "helper";`],
  [
    "requires",
    `import { createRequire } from "node:module";
     const require = createRequire(import.meta.url); const kernel = require("@tsbox/kernel"); const { word } = require("helper");`,
  ],
] as const)
  test(`a plugin that ${what} the kernel gets the engine's own, in place of one from npm`, async (test) => {
    const engine = world(test, [
      {
        name: "p",
        manifest: { kernel: "^1.0" },
        source: `${take}
          import { SnapshotStore } from "@tsbox/kernel/snapshots";
          export default { parseConfig: () => null, setup() { trace(kernel.contractVersions); trace(word + typeof SnapshotStore); } };`,
      },
    ]);
    const home = join(engine.directory, "node_modules/p");
    installed(home, "@tsbox/kernel", `throw new Error("a second kernel runs");`);
    installed(home, "helper", `export const word = "helped ";`);
    await engine.start();
    assert.ok(Object.is(engine.trace[0], contractVersions), "another instance");
    assert.equal(engine.trace[1], "helped function");
  });

test("the entry point of a plugin from npm is its compiled one", async (test) => {
  const engine = world(test, [{ name: "p", manifest: { kernel: "^1.0" }, setup: `trace("set up");` }]);
  const manifest = { name: "p", version: "1.0.0", type: "module", tsbox: { kernel: "^1.0" } };
  const path = join(engine.directory, "node_modules/p/package.json");
  for (const exports of [
    { ".": { "tsbox-source": "./src/index.ts", types: "./index.d.ts", default: "./index.js" } },
    { "tsbox-source": { import: "./src/index.ts" }, node: "./index.js" },
  ]) {
    writeFileSync(path, JSON.stringify({ ...manifest, exports }));
    await (await engine.start()).stop();
  }
  assert.deepEqual(engine.trace, ["set up", "set up"]);
});
