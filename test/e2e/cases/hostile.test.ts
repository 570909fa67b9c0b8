/** Images and registries are untrusted: layers that reach outside, a registry that disconnects half-way. */

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { type Case, needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { binary, engine } from "../src/engine.ts";

const test = suite("hostile images", { timeout: 120_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");
const line = /tsbox: [^\n]+\n$/;

const digestOf = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

interface Made {
  readonly manifest: Buffer;
  readonly blobs: ReadonlyMap<string, Buffer>;
}

/** An image of one plain layer. */
function image(layer: Buffer): Made {
  const config = Buffer.from(
    JSON.stringify({
      architecture: "amd64",
      os: "linux",
      config: { Cmd: ["/x"] },
      rootfs: { type: "layers", diff_ids: [digestOf(layer)] },
    }),
  );
  const blob = (mediaType: string, bytes: Buffer): object => ({ mediaType, digest: digestOf(bytes), size: bytes.length });
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: blob("application/vnd.oci.image.config.v1+json", config),
      layers: [blob("application/vnd.oci.image.layer.v1.tar", layer)],
    }),
  );
  return { manifest, blobs: new Map([config, manifest, layer].map((bytes) => [digestOf(bytes), bytes])) };
}

function layout(t: Case, { manifest, blobs }: Made): string {
  const directory = temporaryDirectory(t);
  mkdirSync(join(directory, "blobs/sha256"), { recursive: true });
  for (const [digest, bytes] of blobs) writeFileSync(join(directory, "blobs/sha256", digest.slice("sha256:".length)), bytes);
  writeFileSync(join(directory, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  const descriptor = {
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    digest: digestOf(manifest),
    size: manifest.length,
    annotations: { "org.opencontainers.image.ref.name": "bad" },
  };
  writeFileSync(join(directory, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [descriptor] }));
  return `oci:${directory}:bad`;
}

test.skipIf(
  reason,
  "a layer with .. or a link out is refused or stays inside: nothing outside is written, nothing half done is left",
  async (t) => {
    const own = await engine(t);
    const [outside, inside] = [temporaryDirectory(t), temporaryDirectory(t)];
    writeFileSync(join(inside, "escaped"), "mine now");
    const tar = (...args: readonly string[]): Buffer => execFileSync("tar", ["-cPf", "-", "-C", inside, ...args]);
    const climbing = tar(`--transform=s,^escaped$,../../../../../..${outside}/escaped,`, "escaped");
    symlinkSync(outside, join(inside, "link"));
    mkdirSync(join(inside, "second"));
    const through = Buffer.concat([tar("link").subarray(0, 512), tar("--transform=s,^escaped$,link/escaped,", "escaped")]);
    for (const layer of [climbing, through]) {
      const ran = await own.run(["run", "--rm", "--net", "none", layout(t, image(layer)), "/x"]);
      assert.is.not(ran.code, 0);
      assert.match(ran.stderr, line);
      assert.equal(readdirSync(outside), []);
    }
    assert.is((await own.run(["ps", "-aq"])).stdout, "");
    assert.equal(readdirSync(join(own.root, "storage-overlay/active")), []);
  },
);

test.skipIf(
  reason,
  "a registry that goes away half-way: one line, no image, and the next pull goes on where this one stopped",
  async (t) => {
    const own = await engine(t);
    const made = image(Buffer.concat([execFileSync("tar", ["-cf", "-", "-C", "/usr/bin", "tar", "bash"], { maxBuffer: 64 << 20 })]));
    const half = Math.max(...[...made.blobs.values()].map((bytes) => bytes.length)) >> 1;
    let gone = true;
    const asked: string[] = [];
    const server: Server = createServer((request, response) => {
      const digest =
        /sha256:[0-9a-f]{64}/.exec(request.url ?? "")?.[0] ?? (request.url?.includes("/manifests/") ? digestOf(made.manifest) : "");
      const bytes = made.blobs.get(digest);
      if (bytes === undefined) return response.writeHead(request.url === "/v2/" ? 200 : 404).end();
      const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
      if (bytes.length > half) asked.push(request.headers.range ?? "whole");
      const headers = {
        "content-type": "application/vnd.oci.image.manifest.v1+json",
        "docker-content-digest": digest,
        "content-length": String(bytes.length - from),
        ...(from > 0 ? { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {}),
      };
      response.writeHead(from > 0 ? 206 : 200, headers);
      if (request.method === "HEAD") return response.end();
      if (gone && bytes.length > half)
        return response.write(bytes.subarray(from, Math.max(from, half)), () => request.socket.destroySoon());
      return response.end(bytes.subarray(from));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.cleanup(
      () =>
        new Promise((resolve) => {
          server.closeAllConnections();
          server.close(resolve);
        }),
    );
    const address = server.address();
    const name = `127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}/half:1`;
    const broken = await own.run(["pull", name], { timeout: 60_000 });
    assert.is(broken.code, 1);
    assert.match(broken.stderr, line);
    assert.is((await own.run(["images", "-q"])).stdout, "");
    gone = false;
    asked.length = 0;
    await own.ok(["pull", name]);
    // How much of the half arrives before the disconnection depends on the network. Bytes that have arrived are not requested again.
    assert.is(asked.length, 1);
    const from = Number(/^bytes=(\d+)-$/.exec(asked[0] ?? "")?.[1]);
    assert.ok(from > 0 && from <= half, asked[0]);
    const blob = [...made.blobs].sort((a, b) => b[1].length - a[1].length)[0];
    assert.ok(blob && readFileSync(join(own.root, "content/blobs/sha256", blob[0].slice("sha256:".length))).equals(blob[1]));
  },
);
