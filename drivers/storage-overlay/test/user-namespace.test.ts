/** An engine that runs inside a user namespace keeps the marks of its layers in attributes that it may set there. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { needsRoot, suite, temporaryDirectory } from "@tsbox/harness";

const test = suite("storage-overlay: user namespace");
const enter = ["--user", "--map-root-user", "--mount"];
const reason = needsRoot() ?? (spawnSync("unshare", [...enter, "true"]).status === 0 ? null : "user namespaces can't be made here");

test.skipIf(reason, "removed files and replaced directories are marked, and are in a layer", (t) => {
  const file = fileURLToPath(new URL("./user-namespace.cases.ts", import.meta.url));
  const words = [...enter, process.execPath, ...process.execArgv, file, temporaryDirectory(t)];
  const { stdout, stderr } = spawnSync("unshare", words, { encoding: "utf8", timeout: 60_000 });
  assert.equal(stdout, "held\n", stderr);
});
