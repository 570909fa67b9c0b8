/** `system check` finds damage on disk, reports each in one line, and repairs data that can be fetched again. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { binary, engine } from "../src/engine.ts";
import { layer, registry } from "../src/held-registry.ts";

const test = suite("system check", { timeout: 120_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");

test.skipIf(reason, "a flipped byte in a blob, a layer that is gone, a record without its layer", async (t) => {
  const [low, high] = [layer(t, "low", 100_000), layer(t, "high", 100_000)];
  const { host } = await registry(t, { image: [low, high] });
  const own = await engine(t);
  await own.ok(["pull", `${host}/image`]);
  assert.is(await own.ok(["system", "check"]), "");
  await own.ok(["create", "--name", "box", `${host}/image`, "/nothing"]);
  await own.stop();
  const blob = join(own.root, "content/blobs/sha256", low.digest.slice("sha256:".length));
  const bytes = readFileSync(blob);
  bytes.writeUInt8(bytes.readUInt8(5000) ^ 1, 5000);
  writeFileSync(blob, bytes);
  for (const folder of ["committed", "active"])
    for (const name of readdirSync(join(own.root, "storage-overlay", folder)))
      if (name !== low.diffId) rmSync(join(own.root, "storage-overlay", folder, name), { recursive: true });
  await own.start();

  const found = await own.run(["system", "check"]);
  assert.is(found.code, 1, found.stderr);
  assert.match(
    found.stdout,
    new RegExp(`^image ${host}/image:latest: the blob ${low.digest} is damaged: run .tsbox system check --repair`, "m"),
  );
  assert.match(found.stdout, /^image \S+: the layer sha256:\w+ is missing: run /m);
  assert.match(found.stdout, /^container box: its layer is missing: its files are lost; remove it with `tsbox rm -f box`$/m);
  assert.is(found.stdout.trim().split("\n").length, 3);

  const mended = await own.run(["system", "check", "--repair"]);
  assert.is(mended.code, 1);
  assert.is(mended.stdout.match(/: mended$/gm)?.length, 2, mended.stdout);
  await own.ok(["rm", "-f", "box"]);
  assert.is(await own.ok(["system", "check"]), "");
  assert.is(readFileSync(blob).equals(low.bytes), true);
  await own.ok(["save", "-o", join(temporaryDirectory(t), "whole.tar"), `${host}/image`]);
});

test.skipIf(reason, "a layer that is gone from a storage driver that is not the preferred one", async (t) => {
  const { host } = await registry(t, { image: [layer(t, "only", 100_000)] });
  const own = await engine(t);
  await own.ok(["pull", `${host}/image`]);
  await own.ok(["create", "--storage", "vfs", "--name", "box", `${host}/image`, "/nothing"]);
  assert.is(await own.ok(["system", "check"]), "");
  await own.stop();
  const committed = join(own.root, "storage-vfs/committed");
  for (const name of readdirSync(committed)) rmSync(join(committed, name), { recursive: true });
  await own.start();
  const found = await own.run(["system", "check"]);
  assert.is(found.code, 1, found.stderr);
  assert.match(found.stdout, /^image \S+: the layer sha256:\w+ is missing from the storage driver vfs: run [^\n]+\n$/);
  const mended = await own.run(["system", "check", "--repair"]);
  assert.is(mended.code, 0, mended.stdout);
  assert.match(mended.stdout, /: mended\n$/);
  assert.is(readdirSync(committed).length, 1);
});
