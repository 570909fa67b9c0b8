/** The registry suite itself: the reference driver passes all of it, and each broken driver is caught by the rule meant for it. */
import assert from "node:assert/strict";
import { suite } from "@tsbox/harness";
import { brokenRegistries } from "../src/broken/registry.ts";
import { registerRules, registryRules, runRules } from "../src/index.ts";
import { makeMemoryRegistry, ReferenceRegistry } from "../src/reference/registry.ts";

const reference = suite("conformance: a registry in memory");
reference("rules have ids of their own", () => {
  assert.equal(new Set(registryRules.map(({ id }) => id)).size, registryRules.length);
});
registerRules(reference, registryRules, () => makeMemoryRegistry((names, blobs) => new ReferenceRegistry(names, blobs)));

const caught = suite("conformance: broken registry drivers");
for (const { bug, rule, open } of brokenRegistries) {
  caught(`${rule} catches: ${bug}`, async () => {
    const outcomes = await runRules(
      registryRules.filter(({ id }) => id === rule),
      () => makeMemoryRegistry(open),
    );
    assert.deepEqual(
      outcomes.map(({ result }) => result),
      ["failed"],
    );
  });
}
