/** The performance section of a report. */
import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { suite } from "@tsbox/harness";
import { fail } from "@tsbox/kernel";
import { execPerformance } from "../src/exec/performance.ts";
import { makeExecWorld, whyNoExecWorld } from "../src/exec/real-world.ts";
import { toJson, toJunit, toTap } from "../src/index.ts";
import type { Measurement } from "../src/measure.ts";
import { ReferenceExec } from "../src/reference/exec.ts";
import { makeMemoryWorld } from "../src/reference/memory-world.ts";
import { ReferenceStorage } from "../src/reference/storage.ts";
import { storagePerformance } from "../src/storage/performance.ts";

const test = suite("conformance: performance");
const measured = ({ name, milliseconds, kibibytes, runs, reason }: Measurement): string =>
  `${name}: ${milliseconds === null && kibibytes === undefined ? "none" : "a median"} of ${runs}${reason === null ? "" : `, ${reason}`}`;

test("storage: prepare, commit and remove at three depths", async () => {
  const found = await storagePerformance(() => makeMemoryWorld((disk) => new ReferenceStorage(disk)));
  assert.deepEqual(
    found.map(measured),
    [1, 10, 100].flatMap((depth) => ["prepare", "commit", "remove"].map((verb) => `${verb} at depth ${depth}: a median of 11`)),
  );
});

test("what a driver refuses has no median, but the reason", async () => {
  class Shallow extends ReferenceStorage {
    protected override add(...given: Parameters<ReferenceStorage["add"]>): void {
      if (this.disk.size >= 50) throw fail("FailedPrecondition", "fifty layers at most");
      super.add(...given);
    }
  }
  class Stuck extends ReferenceStorage {
    override async commit(...given: Parameters<ReferenceStorage["commit"]>): Promise<void> {
      if (given[1].startsWith("m")) throw fail("Internal", "it is stuck");
      return super.commit(...given);
    }
  }
  const shallow = await storagePerformance(() => makeMemoryWorld((disk) => new Shallow(disk)));
  assert.equal(measured(shallow[6] as Measurement), "prepare at depth 100: none of 0, fifty layers at most");
  const stuck = await storagePerformance(() => makeMemoryWorld((disk) => new Stuck(disk)));
  assert.equal(measured(stuck[0] as Measurement), "prepare at depth 1: none of 1, it is stuck");
});

test.skipIf(whyNoExecWorld(), "exec: start, exec, stop and memory", async () => {
  const subject = { directory: tmpdir(), open: async () => ({ driver: new ReferenceExec(), close: async () => undefined }) };
  const found = await execPerformance(() => makeExecWorld(subject));
  assert.deepEqual(found.map(measured), [
    "start: a median of 11",
    "exec: a median of 11",
    "stop: a median of 11",
    "memory of a container: a median of 3",
  ]);
});

test("each form of the report has the section, if there is one", () => {
  const performance = [
    { name: "prepare at depth 1", milliseconds: 0.25, runs: 11, reason: null },
    { name: "commit at depth 1", milliseconds: null, runs: 0, reason: "two\nlines" },
    { name: "memory", milliseconds: null, kibibytes: 68, runs: 3, reason: null },
  ];
  const report = { subject: "storage/x", powers: [], outcomes: [], performance };
  assert.equal(
    toTap(report),
    "TAP version 14\n1..0\n# prepare at depth 1: 0.25 ms (median of 11)\n# commit at depth 1: not measured: two lines\n# memory: 68 KiB (median of 3)\n",
  );
  assert.match(toJunit(report), /<property name="prepare at depth 1" value="0\.25 ms \(median of 11\)"\/>/);
  assert.deepEqual(JSON.parse(toJson(report)).performance, performance);
  const without = { subject: "storage/x", powers: [], outcomes: [] };
  assert.doesNotMatch(toTap(without) + toJunit(without) + toJson(without), /median|propert|performance/);
});
