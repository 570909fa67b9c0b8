/** The volume suite itself: the reference driver passes all of it, and each broken driver is caught by the rule meant for it. */
import assert from "node:assert/strict";
import { suite } from "@tsbox/harness";
import { brokenVolumes } from "../src/broken/volume.ts";
import { registerRules, runRules, volumeRules } from "../src/index.ts";
import { makeMemoryVolumes, ReferenceVolumes } from "../src/reference/volume.ts";

const reference = suite("conformance: volumes in memory");
reference("rules have ids of their own", () => {
  assert.equal(new Set(volumeRules.map(({ id }) => id)).size, volumeRules.length);
});
registerRules(reference, volumeRules, () => makeMemoryVolumes((disk) => new ReferenceVolumes(disk)));

const caught = suite("conformance: broken volume drivers");
for (const { bug, rule, open } of brokenVolumes) {
  caught(`${rule} catches: ${bug}`, async () => {
    const outcomes = await runRules(volumeRules, () => makeMemoryVolumes(open));
    const failed = outcomes.filter(({ result }) => result === "failed").map((outcome) => outcome.rule);
    assert.ok(failed.includes(rule), `caught by ${failed.join(", ") || "none"} instead`);
  });
}
