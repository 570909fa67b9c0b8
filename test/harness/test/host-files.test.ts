/** A test file that changes files of the host is found. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { changedHostFiles, hostFiles } from "../src/host-files.ts";
import { suite, temporaryDirectory } from "../src/index.ts";

const test = suite("files of the host");

test("changed, removed and new files are named, untouched ones are not", (t) => {
  const directory = temporaryDirectory(t);
  const [kept, changed, removed, made] = ["kept", "changed", "removed", "made"].map((name) => join(directory, name)) as [
    string,
    string,
    string,
    string,
  ];
  for (const path of [kept, changed, removed]) writeFileSync(path, "as it was");
  const before = hostFiles([kept, changed, removed, made]);
  assert.is(changedHostFiles(before), null);
  writeFileSync(changed, "xxxxxxxxx");
  rmSync(removed);
  writeFileSync(made, "");
  const line = changedHostFiles(before) ?? "";
  assert.ok(line.includes(`meanwhile: ${changed}, ${removed}, ${made}: put them back`), line);
});

test("the host's own are watched", () => {
  assert.ok((hostFiles().get("/etc/passwd") ?? "").includes("root:"));
});
