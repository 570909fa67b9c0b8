/** `host:`: the image of a directory, and the changes that make it another image. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, temporaryDirectory } from "@tsbox/harness";
import { type Access, createCall, type Descriptor, silentLog } from "@tsbox/kernel";
import * as assert from "uvu/assert";
import { hostDriver } from "../src/driver.ts";

const test = suite("registry-host");
const call = createCall(silentLog);
const access = {} as Access;

test("a file more in a directory makes no other image; another owner's rights do", async (t) => {
  const directory = temporaryDirectory(t);
  mkdirSync(join(directory, "root"));
  mkdirSync(join(directory, "etc"));
  writeFileSync(join(directory, "etc/shadow"), "secret");
  const driver = hostDriver([]);
  const first = await driver.resolve(call, directory, access);
  writeFileSync(join(directory, "root/file"), "new");
  writeFileSync(join(directory, "etc/file"), "new");
  assert.equal((await driver.resolve(call, directory, access)).digest, first.digest);
  chmodSync(join(directory, "root"), 0o700);
  const second = await driver.resolve(call, directory, access);
  assert.not.equal(second.digest, first.digest);
  // A client that resolved the image before the change can still fetch the old data.
  const parts: Uint8Array[] = [];
  for await (const part of await driver.fetch(call, directory, first, 0, access)) parts.push(part);
  assert.is(Buffer.concat(parts).length, first.size);
});

test("what no state of the directory has had is NotFound", async (t) => {
  const directory = temporaryDirectory(t);
  const driver = hostDriver([]);
  const strange = { mediaType: "x", digest: `sha256:${"0".repeat(64)}`, size: 1 } as Descriptor;
  try {
    await driver.fetch(call, directory, strange, 0, access);
    assert.unreachable("it was there");
  } catch (error) {
    assert.is((error as { readonly code?: string }).code, "NotFound");
  }
});
