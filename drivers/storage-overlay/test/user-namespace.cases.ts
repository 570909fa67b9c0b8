/** Run by user-namespace.test.ts in a user namespace: what a driver does there with marks of removed files and directories. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openDriver, openToolkit } from "@tsbox/conformance";
import { type ActiveKey, createCall, type SnapshotName, silentLog, supports, type ViewKey, withMounts } from "@tsbox/kernel";
import plugin from "../src/index.ts";

const [directory = ""] = process.argv.slice(2);
const toolkit = await openToolkit();
if ("skip" in toolkit) throw new Error(toolkit.skip);
const { host } = toolkit;
const call = createCall(silentLog);
const key = (text: string): ActiveKey => text as ActiveKey;
const named = (text: string): SnapshotName => text as SnapshotName;
const { value: driver, close } = await openDriver(plugin, "storage", "overlay", { directory, services: { host } });
await withMounts(call, host, await driver.prepare(call, key("a"), null), async (root) => {
  mkdirSync(join(root, "kept"));
  for (const name of ["kept/old", "gone"]) writeFileSync(join(root, name), name);
});
await driver.commit(call, named("l"), key("a"));
await withMounts(call, host, await driver.prepare(call, key("b"), named("l")), async (root) => {
  rmSync(join(root, "gone"));
  rmSync(join(root, "kept"), { recursive: true });
  mkdirSync(join(root, "kept"));
  writeFileSync(join(root, "kept/new"), "");
});
if (!supports(driver, "diff") || !supports(driver, "apply")) throw new Error("no power diff");
const layer = { path: join(directory, "layer.tar"), mediaType: "application/vnd.oci.image.layer.v1.tar" };
await driver.diff(call, named("l"), key("b"), layer);
// The layer makes the same tree again, by the toolkit's own marks.
await driver.prepare(call, key("c"), named("l"));
await driver.apply(call, key("c"), layer);
await driver.commit(call, named("m"), key("c"));
await withMounts(call, host, await driver.view(call, "v" as ViewKey, named("m")), async (root) => {
  assert.ok(!existsSync(join(root, "gone")), "a removed file is there");
  assert.deepEqual(readdirSync(join(root, "kept")), ["new"]);
});
await close();
await toolkit.close();
process.stdout.write("held\n");
