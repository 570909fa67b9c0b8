/** The network suite itself: the reference driver passes all of it, and each broken driver is caught by the rule meant for it. */
import assert from "node:assert/strict";
import { suite } from "@tsbox/harness";
import { brokenNetworks } from "../src/broken/network.ts";
import { networkRules, registerRules, runRules } from "../src/index.ts";
import { makeMemoryNetworks, ReferenceNetwork } from "../src/reference/network.ts";

const reference = suite("conformance: networks in memory");
reference("rules have ids of their own", () => {
  assert.equal(new Set(networkRules.map(({ id }) => id)).size, networkRules.length);
});
registerRules(reference, networkRules, () => makeMemoryNetworks((host) => new ReferenceNetwork(host)));

const caught = suite("conformance: broken network drivers");
for (const { bug, rule, open } of brokenNetworks) {
  caught(`${rule} catches: ${bug}`, async () => {
    const outcomes = await runRules(networkRules, () => makeMemoryNetworks(open));
    const failed = outcomes.filter(({ result }) => result === "failed").map((outcome) => outcome.rule);
    assert.ok(failed.includes(rule), `caught by ${failed.join(", ") || "none"} instead`);
  });
}
