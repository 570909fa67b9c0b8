/** The suite itself: the reference driver passes all of it, and each broken driver is caught by the rule meant for it. */
import assert from "node:assert/strict";
import { suite } from "@tsbox/harness";
import { brokenStorage } from "../src/broken/storage.ts";
import { registerRules, runRules, storageRules, toJson, toJunit, toTap } from "../src/index.ts";
import { makeMemoryWorld } from "../src/reference/memory-world.ts";
import { ReferenceStorage } from "../src/reference/storage.ts";

const reference = suite("conformance: in-memory reference");
registerRules(reference, storageRules, () => makeMemoryWorld((disk) => new ReferenceStorage(disk)));

const caught = suite("conformance: broken drivers");
for (const { bug, rule, open } of brokenStorage) {
  caught(`${rule} catches: ${bug}`, async () => {
    // Others may fail, too.
    const outcomes = await runRules(
      storageRules.filter(({ id }) => id === rule),
      () => makeMemoryWorld(open),
    );
    assert.deepEqual(
      outcomes.map(({ result }) => result),
      ["failed"],
    );
  });
}

caught("a sequence that fails is made short", async () => {
  for (const { bug, open } of brokenStorage.filter(({ rule }) => rule === "storage/sequences")) {
    const [outcome] = await runRules(
      storageRules.filter(({ id }) => id === "storage/sequences"),
      () => makeMemoryWorld(open),
    );
    assert.ok((outcome?.reason ?? "").split(", ").length <= 20, `${bug}: ${outcome?.reason}`);
  }
});

const reports = suite("conformance: reports");
reports("rules have ids of their own", () => {
  assert.equal(new Set(storageRules.map(({ id }) => id)).size, storageRules.length);
});
reports("TAP, JUnit and JSON say the same", () => {
  const report = {
    subject: "storage/x",
    powers: [],
    outcomes: [
      { rule: "storage/a", title: "one # two", contract: "a.ts, A.b", result: "passed", reason: null, milliseconds: 1 },
      { rule: "storage/b", title: '<b> & "c"', contract: "b.ts, B.b", result: "failed", reason: "line\nbreak \u0001", milliseconds: 1500 },
      { rule: "storage/c", title: "t", contract: "c.ts, C.b", result: "skipped", reason: "no power apply", milliseconds: 0 },
    ],
  } as const;
  assert.equal(
    toTap(report),
    'TAP version 14\n1..3\nok 1 - storage/a: one \\# two\nnot ok 2 - storage/b: <b> & "c"\n  ---\n  message: "line\\nbreak \\u0001"\n  contract: "b.ts, B.b"\n  ...\nok 3 - storage/c: t # SKIP no power apply\n',
  );
  assert.match(toJunit(report), /tests="3" failures="1" skipped="1"/);
  assert.match(
    toJunit(report),
    /name="storage\/b: &lt;b> &amp; &quot;c&quot;" time="1\.500">.*name="contract" value="b\.ts, B\.b".*<failure message="line&#10;break \ufffd"\/>/,
  );
  assert.deepEqual(JSON.parse(toJson(report)).failed, 1);
});
