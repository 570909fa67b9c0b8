import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { fileTail, judgeFields, linuxFields, type OciSpec } from "../src/index.ts";

const test = suite("what drivers share");

/** The fields of `change` that the engine's own runtime does not carry out. */
function unknown(change: object): readonly string[] {
  const found: string[] = [];
  judgeFields({ ociVersion: "1.0.0", process: { args: ["true"], cwd: "/" }, ...change } as OciSpec, linuxFields, (name, leaf) => {
    if (leaf === undefined) found.push(name);
  });
  return found;
}

test("each field of a spec that is not in the table is named, in lists by its place", () => {
  assert.equal(unknown({ linux: { resources: { memory: { limit: 1 } }, sysctl: { any: "1" } }, hooks: null, vm: undefined }), []);
  assert.equal(unknown({ linux: { intelRdt: {}, resources: { cpu: { cores: 2 } } }, vm: {} }), [
    "linux.intelRdt",
    "linux.resources.cpu.cores",
    "vm",
  ]);
  assert.equal(unknown({ mounts: [{ destination: "/a" }, { destination: "/b", label: "x" }] }), ["mounts[1].label"]);
  assert.equal(unknown(JSON.parse('{"constructor": {}, "__proto__": {}}')), ["constructor", "__proto__"]);
});

test("the end of a file is read, and never more", (t) => {
  const path = join(temporaryDirectory(t), "log");
  writeFileSync(path, "first\nsecond\n");
  assert.is(fileTail(path, 7), "second\n");
  assert.is(fileTail(path, 1000), "first\nsecond\n");
  writeFileSync(path, "");
  assert.is(fileTail(path, 7), "");
  assert.throws(() => fileTail(`${path}.none`, 7), /ENOENT/);
});
