/** Each package that npm may publish is packed in the same way: compiled first, with what a stranger needs and nothing else. */
import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { suite } from "../src/index.ts";

const test = suite("packages");
const root = join(import.meta.dirname, "../../..");

test("every package is compiled before it is packed, and says what it is", () => {
  const manifests = globSync(["kernel/package.json", "conformance/package.json", "{plugins,drivers}/*/package.json"], { cwd: root });
  assert.ok(manifests.length > 20, "packages not found");
  for (const path of manifests) {
    const { description, files, scripts } = JSON.parse(readFileSync(join(root, path), "utf8")) as {
      readonly description?: string;
      readonly files?: readonly string[];
      readonly scripts?: { readonly prepack?: string };
    };
    const up = dirname(path).replaceAll(/[^/]+/g, "..");
    assert.equal(scripts?.prepack, `node ${up}/scripts/prepack.mjs`, path);
    assert.deepEqual(files, ["dist/src/**/*.js", "dist/src/**/*.d.ts"], path);
    assert.ok(description, `${path} has no description`);
    assert.ok(existsSync(join(root, dirname(path), "README.md")), `${dirname(path)} has no README.md`);
  }
});
