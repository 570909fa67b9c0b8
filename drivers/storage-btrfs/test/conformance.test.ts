import assert from "node:assert/strict";
import { suite as conformance } from "@tsbox/conformance";
import { mountBtrfs, suite, whyNoBtrfs } from "@tsbox/harness";
import plugin from "../src/index.ts";

const test = suite("conformance storage/btrfs");
const reason = whyNoBtrfs();
if (reason === null) {
  const disk = mountBtrfs(1_024);
  const module = import.meta.resolve("../src/index.ts");
  (await conformance({ kind: "storage", id: "btrfs", plugin, module, directory: disk.directory })).register(test);
  test("nothing is left of all that, and the disk is unmounted", () => {
    const left = [...disk.subvolumes(), ...disk.quotaGroups()];
    disk.unmount();
    assert.deepEqual(left, []);
  });
} else test.skipIf(reason, "the suite runs over a btrfs", () => undefined);
