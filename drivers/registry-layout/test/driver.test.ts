/** Valid and invalid layouts. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { type Case, suite, temporaryDirectory } from "@tsbox/harness";
import { createCall, type Descriptor, type Digest, isTsboxError, silentLog } from "@tsbox/kernel";
import { layoutDriver } from "../src/driver.ts";

const test = suite("registry-layout");
const call = createCall(silentLog);
const anonymous = { credentials: null, endpoints: [] };
const driver = layoutDriver();
const failure = (code: string, words: RegExp) => (error: unknown) => {
  assert.ok(isTsboxError(error), String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, words);
  return true;
};

function layout(t: Case, names: readonly (string | null)[]): { readonly directory: string; readonly blobs: readonly Descriptor[] } {
  const directory = temporaryDirectory(t);
  mkdirSync(`${directory}/blobs/sha256`, { recursive: true });
  const blobs = names.map((name): Descriptor => {
    const bytes = Buffer.from(`manifest of ${name}`.repeat(100_000));
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest;
    writeFileSync(`${directory}/blobs/${digest.replace(":", "/")}`, bytes);
    const annotations = name === null ? {} : { annotations: { "org.opencontainers.image.ref.name": name } };
    return { mediaType: "application/vnd.oci.image.manifest.v1+json", digest, size: bytes.length, ...annotations };
  });
  writeFileSync(`${directory}/index.json`, JSON.stringify({ schemaVersion: 2, manifests: blobs }));
  return { directory, blobs };
}

async function read(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

test("the only image needs no tag; others are chosen by theirs, or the end of it", async (t) => {
  const one = layout(t, [null]);
  assert.deepEqual(await driver.resolve(call, one.directory, anonymous), one.blobs[0]);
  const { directory, blobs } = layout(t, ["1", "docker.io/library/a:2", "3"]);
  assert.deepEqual(await driver.resolve(call, `${directory}:1`, anonymous), blobs[0]);
  assert.deepEqual(await driver.resolve(call, `${directory}:2`, anonymous), blobs[1]);
  await assert.rejects(driver.resolve(call, directory, anonymous), failure("InvalidArgument", /holds 3 images/));
  await assert.rejects(driver.resolve(call, `${directory}:4`, anonymous), failure("NotFound", /there are: 1, docker.io\/library\/a:2, 3/));
});

test("blobs are read from any byte on", async (t) => {
  const { directory, blobs } = layout(t, ["1"]);
  const [blob] = blobs;
  assert.ok(blob);
  const whole = await read(await driver.fetch(call, `${directory}:1`, blob, 0, anonymous));
  assert.equal(`sha256:${createHash("sha256").update(whole).digest("hex")}`, blob.digest);
  assert.ok((await read(await driver.fetch(call, `${directory}:1`, blob, 1_100_000, anonymous))).equals(whole.subarray(1_100_000)));
  const gone = { ...blob, digest: `sha256:${"0".repeat(64)}` as Digest };
  await assert.rejects(driver.fetch(call, directory, gone, 0, anonymous), failure("NotFound", /incomplete/));
});

test("what is no layout is said", async (t) => {
  const directory = temporaryDirectory(t);
  await assert.rejects(driver.resolve(call, "relative", anonymous), failure("InvalidArgument", /absolute/));
  await assert.rejects(driver.resolve(call, `${directory}/none:1`, anonymous), failure("NotFound", /no such directory/));
  await assert.rejects(driver.resolve(call, directory, anonymous), failure("InvalidArgument", /no index.json/));
  for (const [text, code] of [
    ["{", "InvalidArgument"],
    ["{}", "InvalidArgument"],
    ['{"manifests": [{}]}', "DataLoss"],
    ['{"manifests": [{"mediaType": "x", "digest": "sha256:../../../etc/passwd", "size": 1}]}', "InvalidArgument"],
  ] as const) {
    writeFileSync(`${directory}/index.json`, text);
    await assert.rejects(driver.resolve(call, directory, anonymous), failure(code, /./));
  }
});

test("links out of the layout and pipes in it are refused", async (t) => {
  const { directory } = layout(t, ["1"]);
  const hostile = (hex: string): Descriptor => ({ mediaType: "x", digest: `sha256:${hex.repeat(64)}` as Digest, size: 1 });
  symlinkSync("/etc/passwd", `${directory}/blobs/sha256/${"a".repeat(64)}`);
  await assert.rejects(driver.fetch(call, directory, hostile("a"), 0, anonymous), failure("PermissionDenied", /link out/));
  spawnSync("mkfifo", [`${directory}/blobs/sha256/${"b".repeat(64)}`]);
  await assert.rejects(driver.fetch(call, directory, hostile("b"), 0, anonymous), failure("InvalidArgument", /no plain file/));
});
