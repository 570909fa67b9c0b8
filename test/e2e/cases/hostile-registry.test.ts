/** Registries that lie, stall and send elsewhere: each pull ends in one line and leaves nothing, and no other pull suffers from it. */
import { createHash, randomBytes } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { type Case, needsRoot, suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { binary, type Engine, engine, until } from "../src/engine.ts";

const test = suite("registries that lie", { timeout: 180_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");

const digestOf = (bytes: Buffer): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
const manifestType = "application/vnd.oci.image.manifest.v1+json";

/** One file of random bytes. */
function layer(size: number): Buffer {
  const header = Buffer.alloc(512);
  header.write("file", 0);
  header.write(["0000644", "0000000", "0000000", size.toString(8).padStart(11, "0"), "00000000000", ""].join("\0"), 100);
  header.write("        ", 148);
  header.write("0", 156);
  header.write("ustar\x0000", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return Buffer.concat([header, randomBytes(size), Buffer.alloc(512 - (size % 512) + 1024)]);
}

interface Image {
  readonly manifest: Buffer;
  readonly blobs: ReadonlyMap<string, Buffer>;
  readonly layers: readonly string[];
}

/** Of plain layers; `name` makes its config its own. */
function image(name: string, layers: readonly Buffer[]): Image {
  const diffIds = layers.map(digestOf);
  const config = Buffer.from(
    JSON.stringify({ os: "linux", architecture: "amd64", rootfs: { type: "layers", diff_ids: diffIds }, config: { Labels: { name } } }),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestType,
      config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: digestOf(config), size: config.length },
      layers: layers.map((bytes) => ({ mediaType: "application/vnd.oci.image.layer.v1.tar", digest: digestOf(bytes), size: bytes.length })),
    }),
  );
  return { manifest, layers: diffIds, blobs: new Map([config, manifest, ...layers].map((bytes) => [digestOf(bytes), bytes])) };
}

interface Registry {
  readonly host: string;
  readonly asked: string[];
  /** Connections that are open. */
  readonly open: () => number;
}

/** True: the request has been answered. */
type Odd = (asked: IncomingMessage, answer: ServerResponse, blob: Buffer | undefined) => boolean;

async function serve(t: Case, { manifest, blobs }: Image, odd: Odd = () => false): Promise<Registry> {
  const asked: string[] = [];
  const sockets = new Set<unknown>();
  const server = createServer((asking, answer) => {
    const { method, url = "", headers } = asking;
    asked.push(`${method} ${url}`);
    const [, , name = ""] = /\/(manifests|blobs)\/(.+)$/.exec(url) ?? [];
    const bytes = name === "1" ? manifest : blobs.get(name);
    if (odd(asking, answer, bytes)) return;
    if (bytes === undefined) {
      answer.writeHead(404).end("{}");
      return;
    }
    const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? "")?.[1] ?? 0);
    const type = bytes === manifest ? manifestType : "application/octet-stream";
    const range = from > 0 ? { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {};
    answer.writeHead(from > 0 ? 206 : 200, { "content-type": type, "content-length": bytes.length - from, ...range });
    answer.end(method === "HEAD" ? undefined : bytes.subarray(from));
  });
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.cleanup(() => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, asked, open: () => sockets.size };
}

/** What went wrong; empty: nothing. */
function pull(own: Engine, name: string, signal?: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const path = `/v1.43/images/create?fromImage=${encodeURIComponent(name)}&tag=1`;
    const sent = request({ socketPath: own.socket, method: "POST", path, agent: false, ...(signal ? { signal } : {}) }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => (text += part));
      response.on("error", reject).on("end", () => {
        const last = JSON.parse(text.trim().split("\n").at(-1) ?? "{}") as { readonly error?: string; readonly message?: string };
        resolve(last.error ?? last.message ?? "");
      });
    });
    sent.on("error", reject).end();
  });
}

const isBlob = ({ url = "" }: IncomingMessage, digest: string | undefined): boolean => url.endsWith(`/blobs/${digest}`);
const ingest = (own: Engine): readonly string[] => readdirSync(join(own.root, "content/ingest"));

test.skipIf(reason, "a layer that one registry sends slowly does not hold up the same layer from another one", async (t) => {
  const shared = layer(3 << 20);
  const [held, honest] = [image("held", [shared]), image("honest", [shared])];
  let rest = (): void => {};
  const slow = await serve(t, held, (asking, answer, bytes) => {
    if (!isBlob(asking, held.layers[0]) || bytes === undefined || asking.method === "HEAD") return false;
    answer.writeHead(200, { "content-length": bytes.length });
    answer.write(bytes.subarray(0, 1 << 20));
    rest = () => answer.end(bytes.subarray(1 << 20));
    return true;
  });
  const fast = await serve(t, honest);
  const own = await engine(t);
  const first = pull(own, `${slow.host}/t/held`);
  await until(() => ingest(own).length > 0, "the slow download to begin");
  assert.is(await pull(own, `${fast.host}/t/honest`), "");
  await own.ok(["create", "--net", "none", `${fast.host}/t/honest:1`, "/file"]);
  rest();
  assert.is(await first, "");
  assert.equal(ingest(own), []);
  assert.is(readdirSync(join(own.root, "storage-overlay/committed")).length, 1);
});

test.skipIf(reason, "bytes that a registry left behind spoil no other registry's layer", async (t) => {
  const shared = layer(1 << 20);
  const [poisoned, honest] = [image("poisoned", [shared]), image("honest", [shared])];
  const liar = await serve(t, poisoned, (asking, answer, bytes) => {
    if (!isBlob(asking, poisoned.layers[0]) || bytes === undefined) return false;
    answer.writeHead(200, { "content-length": bytes.length });
    answer.write(randomBytes(1 << 19), () => answer.destroy());
    return true;
  });
  const good = await serve(t, honest);
  const own = await engine(t);
  const stop = new AbortController();
  const left = pull(own, `${liar.host}/t/poisoned`, stop.signal).catch(() => "left");
  await until(() => liar.asked.filter((line) => line.includes(poisoned.layers[0] ?? "")).length > 1, "the first attempt to break off");
  stop.abort();
  assert.is(await left, "left");
  await until(() => ingest(own).length === 1, "the bytes that came to stay");
  assert.is(await pull(own, `${good.host}/t/honest`), "");
  assert.equal(ingest(own), []);
});

test.skipIf(
  reason,
  "pulls side by side share each layer, and leave no connection unread; a client that leaves takes its own along",
  async (t) => {
    const shared = image("shared", [layer(6 << 20), layer(6 << 20), layer(1000)]);
    let waiting: (() => void)[] = [];
    const host = await serve(t, shared, (asking, answer, bytes) => {
      if (bytes === undefined || asking.method === "HEAD" || !shared.layers.slice(0, 2).some((digest) => isBlob(asking, digest)))
        return false;
      answer.writeHead(200, { "content-length": bytes.length });
      answer.write(bytes.subarray(0, 1000));
      waiting.push(() => answer.end(bytes.subarray(1000)));
      return true;
    });
    const own = await engine(t);
    const stop = new AbortController();
    const leaves = pull(own, `${host.host}/t/shared`, stop.signal).catch(() => "left");
    await until(() => waiting.length === 2, "the first pull's downloads");
    const others = Array.from({ length: 4 }, () => pull(own, `${host.host}/t/shared`));
    stop.abort();
    assert.is(await leaves, "left");
    await until(() => waiting.length === 4, "another pull to take its place");
    for (const go of waiting) go();
    waiting = [];
    assert.equal(await Promise.all(others), ["", "", "", ""]);
    for (const digest of shared.layers.slice(0, 2)) assert.is(host.asked.filter((line) => line.endsWith(digest)).length, 2, digest);
    assert.ok(host.open() <= 8, `${host.open()} connections`);
    assert.equal(ingest(own), []);
  },
);
