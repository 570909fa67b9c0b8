/** The exec suite itself: the reference driver passes all of it, and each broken driver is caught by the rule meant for it. */
import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { suite } from "@tsbox/harness";
import type { ExecDriver } from "@tsbox/kernel";
import { brokenExec } from "../src/broken/exec.ts";
import { makeExecWorld, whyNoExecWorld } from "../src/exec/real-world.ts";
import { execRules, registerRules, runRules } from "../src/index.ts";
import { ReferenceExec } from "../src/reference/exec.ts";

const reason = whyNoExecWorld();
const world = (open: () => ExecDriver) => () =>
  makeExecWorld({ directory: tmpdir(), open: async () => ({ driver: open(), close: async () => undefined }) });

const reference = suite("conformance: exec reference");
reference("rules have ids of their own", () => {
  assert.equal(new Set(execRules.map(({ id }) => id)).size, execRules.length);
});
registerRules(
  (name, body) => reference.skipIf(reason, name, body),
  execRules,
  world(() => new ReferenceExec()),
);

// Only the rule meant for it, since each rule starts containers.
const caught = suite("conformance: broken exec drivers");
for (const { bug, rule, open } of brokenExec) {
  caught.skipIf(reason, `${rule} catches: ${bug}`, async () => {
    const [outcome] = await runRules(
      execRules.filter(({ id }) => id === rule),
      world(open),
    );
    assert.equal(outcome?.result, "failed", outcome?.reason ?? "");
  });
}
