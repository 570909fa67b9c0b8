/** The log suite itself: the reference driver passes all of it, and each broken driver is caught by the rule meant for it. */
import assert from "node:assert/strict";
import { suite } from "@tsbox/harness";
import { brokenLogs } from "../src/broken/log.ts";
import { logRules, registerRules, runRules } from "../src/index.ts";
import { makeMemoryLog, ReferenceLog } from "../src/reference/log.ts";

const reference = suite("conformance: logs in memory");
reference("rules have ids of their own", () => {
  assert.equal(new Set(logRules.map(({ id }) => id)).size, logRules.length);
});
registerRules(reference, logRules, () => makeMemoryLog((sink) => new ReferenceLog(sink)));

const caught = suite("conformance: broken log drivers");
for (const { bug, rule, open } of brokenLogs) {
  caught(`${rule} catches: ${bug}`, async () => {
    const own = logRules.filter(({ id }) => id === rule);
    const outcomes = await runRules(own, () => makeMemoryLog(open));
    assert.deepEqual(
      outcomes.map(({ result }) => result),
      ["failed"],
    );
  });
}
