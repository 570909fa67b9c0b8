/** Interrupted pulls, and images that share a layer with an image that is removed meanwhile, from a scripted registry of the test. */
import { existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { alive, binary, type Engine, engine, until } from "../src/engine.ts";
import { layer, registry } from "../src/held-registry.ts";

const test = suite("leftovers of pulls", { timeout: 120_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");
const names = (own: Engine, folder: string): readonly string[] => readdirSync(join(own.root, folder));
const left = async (own: Engine): Promise<string> => /^Leftovers .*$/m.exec(await own.ok(["system", "df"]))?.[0] ?? "";

test.skipIf(reason, "rmi of one image while another one with the same layer is pulled: the other one is whole", async (t) => {
  const [shared, rest] = [layer(t, "shared", 100_000), layer(t, "rest", 2_000_000)];
  const { host, halfSent, release } = await registry(t, { first: [shared], second: [shared, rest] }, rest.digest);
  const own = await engine(t);
  await own.ok(["pull", `${host}/first`]);
  const pulling = own.client(["pull", `${host}/second`]).ended;
  await halfSent;
  await own.ok(["rmi", `${host}/first`]);
  release();
  const pulled = await pulling;
  assert.is(pulled.code, 0, pulled.stderr);
  await own.ok(["save", "-o", join(temporaryDirectory(t), "whole.tar"), `${host}/second`]);
  await own.ok(["create", "--name", "box", `${host}/second`, "/nothing"]);
  assert.is(await left(own), "");
  await own.ok(["rm", "box"]);
  await own.ok(["rmi", `${host}/second`]);
  assert.equal(names(own, "content/blobs/sha256"), []);
});

test.skipIf(reason, "what a pull left that its user cut off: a row of system df, and gone with system prune", async (t) => {
  const [shared, rest] = [layer(t, "shared", 100_000), layer(t, "rest", 2_000_000)];
  const { host, halfSent } = await registry(t, { second: [shared, rest] }, rest.digest);
  const own = await engine(t);
  assert.is(await left(own), "");
  const { process: client, ended } = own.client(["pull", `${host}/second`]);
  await halfSent;
  client.kill("SIGKILL");
  await ended;
  await until(async () => (await left(own)) !== "", "the part of a download to be told of");
  assert.match(await left(own), /^Leftovers +\d+ +0 +\S+ +\S+ \(100%\)/);
  assert.match(await own.ok(["system", "prune", "-f"]), /Total reclaimed space: [1-9]/);
  assert.is(await left(own), "");
  assert.equal(names(own, "content/ingest"), []);
  assert.equal(names(own, "content/blobs/sha256"), []);
});

test.skipIf(reason, "what a killed daemon had half made is gone when the next one has started, and old parts of downloads", async (t) => {
  const rest = layer(t, "rest", 4_000_000);
  const { host, halfSent } = await registry(t, { second: [rest] }, rest.digest);
  const own = await engine(t);
  const pulling = own.client(["pull", `${host}/second`]).ended;
  await halfSent;
  const halfMade = (): readonly string[] => names(own, "storage-overlay/active").filter((name) => name.startsWith("unpack-"));
  await until(() => halfMade().length > 0 && names(own, "content/ingest").length > 0, "the layer to be half made");
  const daemon = own.daemonPid();
  process.kill(daemon, "SIGKILL");
  await pulling;
  await until(() => !alive(daemon), "the daemon to end");
  await own.ok(["version"]);
  await until(() => halfMade().length === 0, "what was half made to go");
  // A repeated pull continues with the partial download.
  const [part = ""] = names(own, "content/ingest");
  utimesSync(join(own.root, "content/ingest", part), 1_700_000_000, 1_700_000_000);
  await own.stop();
  await own.start();
  assert.equal(names(own, "content/ingest"), []);
});

test.skipIf(reason, "what a storage driver that is not the preferred one has of an image goes with the image", async (t) => {
  const only = layer(t, "only", 100_000);
  const { host } = await registry(t, { image: [only] });
  const own = await engine(t);
  await own.ok(["pull", `${host}/image`]);
  await own.ok(["create", "--storage", "vfs", "--name", "box", `${host}/image`, "/nothing"]);
  const committed = (): readonly string[] => ["overlay", "vfs"].flatMap((id) => names(own, `storage-${id}/committed`));
  assert.is(committed().length, 2);
  // Removed by force while a container uses it: it is removed with the container.
  await own.ok(["rmi", "-f", `${host}/image`]);
  assert.is(committed().length, 1);
  await own.ok(["rm", "box"]);
  await until(() => committed().length === 0, "the layer to go with its last container");
  assert.is(await left(own), "");
});

test.skipIf(reason, "what an earlier daemon had half made with any storage driver goes at the next start", async (t) => {
  const own = await engine(t);
  await own.stop();
  const planted = [
    "active/unpack-1-1",
    "active/create-1-1",
    `active/container-${"0".repeat(64)}`,
    "view/files-1-1-1",
    "view/materialize-1-1",
  ];
  const drivers = ["overlay", "vfs"];
  for (const id of drivers)
    for (const key of planted) {
      const path = join(own.root, `storage-${id}`, key);
      mkdirSync(join(path, "fs"), { recursive: true });
      writeFileSync(join(path, "snapshot.json"), '{"parent":null,"createdAt":1,"source":null,"boot":null}');
    }
  // A file that is no blob does not prevent the use of the others.
  writeFileSync(join(own.root, "content/blobs/sha256/README"), "x");
  mkdirSync(join(own.root, "content/ingest/folder"));
  await own.start();
  await until(
    () => drivers.every((id) => planted.every((key) => !existsSync(join(own.root, `storage-${id}`, key)))),
    "what was half made to go",
  );
  assert.is(await left(own), "");
  assert.equal(names(own, "content/ingest"), []);
});
