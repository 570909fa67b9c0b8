/** Pulls that are cut off, and images that share a layer with one that is removed meanwhile, from a registry of the test's own that sends what it is told to. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { type Case, needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { alive, binary, type Engine, engine, until } from "../src/engine.ts";

const test = suite("leftovers of pulls", { timeout: 120_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");
const digestOf = (bytes: Buffer): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
const types = { manifest: "application/vnd.oci.image.manifest.v1+json", config: "application/vnd.oci.image.config.v1+json" };

interface Layer {
  readonly diffId: string;
  readonly digest: string;
  readonly bytes: Buffer;
}

function layer(t: Case, name: string, size: number): Layer {
  const directory = temporaryDirectory(t);
  mkdirSync(join(directory, "srv"));
  // Not to be packed, so that half of it is half of its files.
  let noise = createHash("sha512").update(name).digest();
  const parts: Buffer[] = [];
  for (let at = 0; at < size; at += noise.length) {
    noise = createHash("sha512").update(noise).digest();
    parts.push(noise);
  }
  writeFileSync(join(directory, "srv", name), Buffer.concat(parts));
  const tar = execFileSync("tar", ["-C", directory, "--owner=0", "--group=0", "-c", "srv"], { maxBuffer: 1 << 28 });
  const bytes = gzipSync(tar, { level: 1 });
  return { diffId: digestOf(tar), digest: digestOf(bytes), bytes };
}

interface Registry {
  readonly host: string;
  /** Resolves when half of the held blob has been sent. */
  readonly halfSent: Promise<void>;
  /** Sends the rest. */
  release(): void;
}

/** `images`: layers by name. The blob `held` stops at its half. */
async function registry(t: Case, images: Readonly<Record<string, readonly Layer[]>>, held: string): Promise<Registry> {
  const blobs = new Map<string, Buffer>();
  const manifests = new Map<string, Buffer>();
  for (const [name, layers] of Object.entries(images)) {
    for (const { digest, bytes } of layers) blobs.set(digest, bytes);
    const rootfs = { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) };
    const config = Buffer.from(JSON.stringify({ architecture: "amd64", os: "linux", config: { Labels: { name } }, rootfs }));
    blobs.set(digestOf(config), config);
    const manifest = {
      schemaVersion: 2,
      mediaType: types.manifest,
      config: { mediaType: types.config, digest: digestOf(config), size: config.length },
      layers: layers.map(({ digest, bytes }) => ({
        mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
        digest,
        size: bytes.length,
      })),
    };
    manifests.set(name, Buffer.from(JSON.stringify(manifest)));
  }
  const { promise: halfSent, resolve: told } = Promise.withResolvers<void>();
  const waiting: (() => void)[] = [];
  let released = false;
  const send = (response: ServerResponse, bytes: Buffer, isHeld: boolean): void => {
    response.writeHead(200, { "content-length": bytes.length });
    if (!isHeld || released) return void response.end(bytes);
    const half = bytes.length >> 1;
    response.write(bytes.subarray(0, half), () => told());
    waiting.push(() => response.end(bytes.subarray(half)));
  };
  const server = createServer((request, response) => {
    const [, name, kind, what] = /^\/v2\/([a-z]+)\/(manifests|blobs)\/(.+)$/.exec(request.url ?? "") ?? [];
    if (name === undefined || what === undefined) return void response.end("{}");
    if (kind === "blobs") {
      const bytes = blobs.get(what);
      return bytes === undefined ? void response.writeHead(404).end() : send(response, bytes, what === held);
    }
    const bytes = manifests.get(name) ?? Buffer.alloc(0);
    response.writeHead(200, { "content-type": types.manifest, "docker-content-digest": digestOf(bytes), "content-length": bytes.length });
    response.end(request.method === "HEAD" ? undefined : bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.cleanup(() => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  const release = (): void => {
    released = true;
    for (const rest of waiting.splice(0)) rest();
  };
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, halfSent, release };
}

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
  // A pull that is asked for again soon goes on with it.
  const [part = ""] = names(own, "content/ingest");
  utimesSync(join(own.root, "content/ingest", part), 1_700_000_000, 1_700_000_000);
  await own.stop();
  await own.start();
  assert.equal(names(own, "content/ingest"), []);
});
