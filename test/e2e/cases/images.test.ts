/** Images from a real registry, from layouts and from archives. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { binary, engine, until } from "../src/engine.ts";
import { busyboxLayout, freePort, needsTools, registry } from "../src/images.ts";

const test = suite("images", { timeout: 600_000 });
const reason =
  needsRoot() ??
  (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ??
  needsTools("umoci", "skopeo", "docker-registry", "busybox");
const none = ["run", "--rm", "--net", "none"] as const;

test.skipIf(reason, "busybox from a registry: pulled by a run, its digest skopeo's, its config Docker's", async (t) => {
  const [own, hub] = [await engine(t), await registry(t)];
  const digest = hub.push(busyboxLayout(t), "bb", "test/busybox:1");
  const name = `${hub.address}/test/busybox:1`;
  const first = await own.run([...none, name, "sh", "-c", "pwd; echo $FROM_IMAGE; id -u"]);
  assert.equal([first.code, first.stdout], [0, "/srv\nyes\n0\n"]);
  assert.match(first.stderr, /^Unable to find image '.*\/test\/busybox:1' locally\n/);
  assert.match(first.stderr, new RegExp(`Digest: ${digest}\n`));
  assert.equal(await own.run([...none, name, "echo", "again"]), { code: 0, stdout: "again\n", stderr: "" });
  assert.match(await own.ok(["images", "--digests"]), new RegExp(`${hub.address}/test/busybox +1 +${digest} `));
  assert.match(await own.ok([...none, "-u", "app", name, "id"]), /^uid=1000\(app\) gid=1000\(app\) groups=.*50\(staff\)/);
  const byDigest = await own.run([...none, `${hub.address}/test/busybox@${digest}`, "true"]);
  assert.is(byDigest.code, 0);
  assert.match(await own.ok(["rmi", name]), /^Untagged: /);
  assert.is((await own.run(["rmi", name])).code, 1);
  assert.is((await own.run(["rmi", "-f", name])).code, 0);
});

test.skipIf(reason, "layouts, and archives of both kinds: run as they are, and loaded", async (t) => {
  const own = await engine(t);
  const layout = busyboxLayout(t);
  const directory = temporaryDirectory(t);
  assert.is(await own.ok([...none, `oci:${layout}:bb`, "echo", "layout"]), "layout\n");
  const [docker, oci] = [join(directory, "docker.tar"), join(directory, "oci.tar")];
  execFileSync("skopeo", ["copy", "--quiet", `oci:${layout}:bb`, `docker-archive:${docker}:loaded/bb:7`]);
  execFileSync("skopeo", ["copy", "--quiet", `oci:${layout}:bb`, `oci-archive:${oci}:bb`]);
  assert.is(await own.ok([...none, `docker-archive:${docker}`, "echo", "docker"]), "docker\n");
  assert.is(await own.ok([...none, `oci-archive:${oci}`, "echo", "oci"]), "oci\n");
  assert.is(await own.ok(["load", "-i", docker]), "Loaded image: loaded/bb:7\n");
  assert.is(await own.ok([...none, "loaded/bb:7", "echo", "loaded"]), "loaded\n");
  const wrong = join(directory, "wrong.tar");
  writeFileSync(wrong, "no archive at all");
  const refused = await own.run(["load", "-i", wrong]);
  assert.is(refused.code, 1);
  assert.match(refused.stderr, /^tsbox: [^\n]+\n$/);
});

test.skipIf(reason, "what is wrong with an image is one line, and nothing of it stays", async (t) => {
  const [own, hub] = [await engine(t), await registry(t)];
  const layout = busyboxLayout(t);
  hub.push(layout, "bb", "bad:1");
  const line = /^(?:Unable to find image .*\n)?(?:Pulling from .*\n)?(?:[0-9a-f]{12}: .*\n)*tsbox: [^\n]+\n$/;
  const unknown = await own.run([...none, `${hub.address}/none:1`, "true"]);
  assert.is(unknown.code, 125);
  assert.match(unknown.stderr, line);
  const unknownDigest = await own.run(["pull", `${hub.address}/bad@sha256:${"0".repeat(64)}`]);
  assert.equal([unknownDigest.code, /not found/.test(unknownDigest.stderr)], [1, true]);
  const nowhere = await own.run([...none, `127.0.0.1:${await freePort()}/x`, "true"], { timeout: 60_000 });
  assert.is(nowhere.code, 125);
  assert.match(nowhere.stderr, /tsbox: [^\n]*refused[^\n]*\n$/i);
  const reference = await own.run([...none, "Not A Reference", "true"]);
  assert.equal([reference.code, /invalid reference format/.test(reference.stderr)], [125, true]);

  // The layer in the registry's storage: first changed, then truncated.
  const blobs = join(hub.directory, "data/docker/registry/v2/blobs/sha256");
  const sizes = execFileSync("find", [blobs, "-name", "data", "-printf", "%s %p\n"], { encoding: "utf8" }).trim().split("\n");
  const [size, blob] = sizes
    .map((row): [number, string] => [Number(row.split(" ")[0]), row.split(" ")[1] ?? ""])
    .sort((a, b) => b[0] - a[0])[0] ?? [0, ""];
  const bytes = readFileSync(blob);
  bytes[size >> 1] = (bytes[size >> 1] ?? 0) ^ 255;
  writeFileSync(blob, bytes);
  const changed = await own.run([...none, `${hub.address}/bad:1`, "true"]);
  assert.is(changed.code, 125);
  assert.match(changed.stderr, /has the digest sha256:[0-9a-f]{64}/);
  truncateSync(blob, size >> 1);
  const cut = await own.run(["pull", `${hub.address}/bad:1`], { timeout: 120_000 });
  assert.is(cut.code, 1);
  assert.match(cut.stderr, /tsbox: [^\n]+\n$/);
  assert.is(await own.ok(["images", "-q"]), "");
  assert.equal(readdirSync(join(own.root, "storage-overlay", "committed")), []);
  await until(() => readdirSync(join(own.root, "storage-overlay", "active")).length === 0, "no half layer");
});
