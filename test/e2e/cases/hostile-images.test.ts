/** False manifests, configs and registries: each is refused at once, in one line that names the cause, and nothing of it is left. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { type Case, needsRoot, suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { binary, type Engine, engine } from "../src/engine.ts";

const test = suite("images that lie", { timeout: 180_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");

const digestOf = (bytes: Buffer): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
const nested = (levels: number): string => "[".repeat(levels) + "]".repeat(levels);
const types = {
  manifest: "application/vnd.oci.image.manifest.v1+json",
  index: "application/vnd.oci.image.index.v1+json",
  directory: "application/vnd.tsbox.directory.v1+json",
};

type Loose = Record<string, unknown>;
interface Image {
  readonly top: Buffer;
  readonly type: string;
  readonly blobs: ReadonlyMap<string, Buffer>;
}

const emptyTar = Buffer.alloc(10_240);
const packed = gzipSync(emptyTar);

/** A valid image, with `change` applied. `config`: JSON of its config's fields. */
function image(config = '"config":{}', change: (manifest: Loose & { config: Loose; layers: [Loose] }) => void = () => {}): Image {
  const json = Buffer.from(
    `{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":["${digestOf(emptyTar)}"]},${config}}`,
  );
  const manifest: Loose & { config: Loose; layers: [Loose] } = {
    schemaVersion: 2,
    mediaType: types.manifest,
    config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: digestOf(json), size: json.length },
    layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: digestOf(packed), size: packed.length }],
  };
  change(manifest);
  const top = Buffer.from(JSON.stringify(manifest));
  return { top, type: types.manifest, blobs: new Map([json, top, packed].map((bytes) => [digestOf(bytes), bytes])) };
}

function index(entry: Loose): Image {
  const { top: inner, blobs } = image();
  const platform = { os: "linux", architecture: "amd64" };
  const manifests = [{ mediaType: types.manifest, digest: digestOf(inner), size: inner.length, platform, ...entry }];
  const top = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: types.index, manifests }));
  return { top, type: types.index, blobs: new Map([...blobs, [digestOf(top), top]]) };
}

const volumes = Object.fromEntries(Array.from({ length: 100_000 }, (_, at) => [`/v${at}`, {}]));
const refused: Readonly<Record<string, readonly [Image, RegExp]>> = {
  deep: [image(`"config":${nested(100_000)}`), /nested more than 128 levels/],
  list: [image('"config":[]'), /config is not an object/],
  env: [image('"config":{"Env":[{"toString":1}]}'), /config\.Env is not a list of strings/],
  labels: [image('"config":{"Labels":"' + "x".repeat(1 << 20) + '"}'), /config\.Labels is not an object/],
  volumes: [image(`"config":{"Volumes":${JSON.stringify(volumes)}}`), /config\.Volumes is not a map of at most 1000/],
  health: [image('"config":{"Healthcheck":{"Test":[[]]}}'), /config\.Healthcheck\.Test is not a list of strings/],
  onbuild: [image('"config":{"OnBuild":[7]}'), /config\.OnBuild is not a list of strings/],
  history: [image('"history":[{"created_by":{"toString":1}}]'), /history\[\]\.created_by is not a string/],
  created: [image('"created":{"toString":1}'), /created is not a string/],
  big: [image(undefined, ({ config }) => Object.assign(config, { size: 50 << 20 })), /said to be 52428800 bytes long/],
  long: [
    image(undefined, ({ layers }) => Object.assign(layers[0], { size: Number.MAX_SAFE_INTEGER })),
    /sends \d+ bytes for sha256:\w+, which is said/,
  ],
  path: [
    image(undefined, ({ layers }) => Object.assign(layers[0], { digest: "sha256:../../x" })),
    /"sha256:\.\.\/\.\.\/x" is not a digest/,
  ],
  mile: [
    image(undefined, ({ layers }) => Object.assign(layers[0], { digest: `sha256:${"a".repeat(1 << 20)}` })),
    /"sha256:a{50,300}… is not a digest/,
  ],
  control: [image(undefined, ({ layers }) => Object.assign(layers[0], { digest: "\u001b[31m\n" })), /is not a digest/],
  platform: [index({ platform: { os: { toString: 1 } } }), /manifests\[\]\.platform\.os is not a string/],
  // A directory of the host as the base of an untrusted image would expose all of it.
  adopted: [
    index({ mediaType: types.directory, annotations: { "io.tsbox.directory": "/etc" } }),
    /wants to stand on a directory of this host/,
  ],
};

async function serve(t: Case, images: Readonly<Record<string, Image>>): Promise<string> {
  const server = createServer((request, response) => {
    const [, name = "", what = ""] = /^\/v2\/t\/([a-z]+)\/(?:manifests|blobs)\/(.+)$/.exec(request.url ?? "") ?? [];
    const found = images[name];
    const bytes = what === "1" ? found?.top : found?.blobs.get(what);
    if (found === undefined || bytes === undefined) return response.writeHead(404).end("{}");
    const type = bytes === found.top ? found.type : types.manifest;
    response.writeHead(200, { "content-type": type, "content-length": bytes.length, "docker-content-digest": digestOf(bytes) });
    return response.end(request.method === "HEAD" ? undefined : bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.cleanup(() => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** The status and the error message. */
function pull(own: Engine, name: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const path = `/v1.43/images/create?fromImage=${encodeURIComponent(name)}&tag=1`;
    const sent = request({ socketPath: own.socket, method: "POST", path, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => (text += part));
      response.on("end", () => {
        const last = JSON.parse(text.trim().split("\n").at(-1) ?? "{}") as { readonly error?: string; readonly message?: string };
        resolve(last.error ?? last.message ?? "");
      });
    });
    sent.on("error", reject).end();
  });
}

test.skipIf(reason, "fields of wrong types, depths, sizes and numbers: one line each, and no blob stays", async (t) => {
  const good = image('"config":{"Labels":{"kind":"good"}},"history":[null]');
  const byIndex = index({});
  const host = await serve(t, {
    ...Object.fromEntries(Object.entries(refused).map(([name, [made]]) => [name, made])),
    good,
    byindex: byIndex,
  });
  const own = await engine(t);
  const daemon = own.daemonPid();
  for (const [name, [, words]] of Object.entries(refused)) {
    const said = await pull(own, `${host}/t/${name}`);
    assert.match(said, words, name);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for.
    assert.not.match(said, /[\x00-\x1f\x7f-\x9f]|this is a bug/, name);
    assert.ok(said.length < 4200, `${name}: ${said.length}`);
    assert.equal(readdirSync(join(own.root, "content/blobs/sha256")), [], name);
    assert.equal(readdirSync(join(own.root, "content/ingest")), [], name);
  }
  assert.is(await pull(own, `${host}/t/good`), "");
  await own.ok(["history", `${host}/t/good:1`]);
  await own.ok(["rmi", `${host}/t/good:1`]);
  assert.is(await pull(own, `${host}/t/byindex`), "");
  await own.ok(["rmi", `${host}/t/byindex:1`]);
  assert.equal(readdirSync(join(own.root, "content/blobs/sha256")), [], "the index goes with the name that it was pulled by");
  assert.equal(readdirSync(join(own.root, "storage-overlay/committed")), []);
  assert.not.match(await own.ok(["system", "df"]), /Leftovers/);
  assert.is(own.daemonPid(), daemon);
  assert.not.match(readFileSync(`/proc/${daemon}/status`, "utf8"), /^VmRSS:\s+[5-9]\d{5} kB/m);
});

test.skipIf(reason, "events of images have Docker's attributes: the id or the name, and the labels", async (t) => {
  const host = await serve(t, { good: image('"config":{"Labels":{"kind":"good"}}') });
  const own = await engine(t);
  await pull(own, `${host}/t/good`);
  await own.ok(["tag", `${host}/t/good:1`, "other:2"]);
  await own.ok(["rmi", "other:2", `${host}/t/good:1`]);
  const lines = (await own.ok(["events", "--since", "1h", "--until", "0s", "--format", "{{json .}}"])).trim().split("\n");
  const events = lines.map((line) => JSON.parse(line) as { Type: string; Action: string; Actor: { ID: string; Attributes: Loose } });
  const id = digestOf([...image('"config":{"Labels":{"kind":"good"}}').blobs.values()][0] ?? Buffer.alloc(0));
  assert.equal(
    events.filter(({ Type }) => Type === "image").map(({ Action, Actor }) => [Action, Actor.ID, Actor.Attributes]),
    [
      ["pull", `${host}/t/good:1`, { kind: "good", name: `${host}/t/good` }],
      ["tag", id, { kind: "good", name: "other:2" }],
      ["untag", id, { kind: "good", name: id }],
      ["untag", id, { kind: "good", name: id }],
      ["delete", id, { name: id }],
    ],
  );
});

test.skipIf(reason, "ps shows an image by its id once its name stands for another one, or for none", async (t) => {
  const own = await engine(t);
  const shown = async (): Promise<string> => (await own.ok(["ps", "-a", "--format", "{{.Image}}"])).trim();
  await own.ok(["import", "-", "name:1"], { input: emptyTar });
  await own.ok(["create", "--net", "none", "--name", "box", "name:1", "/none"]);
  const id = (await own.ok(["image", "inspect", "-f", "{{.Id}}", "name:1"])).trim();
  assert.is(await shown(), "name:1");
  await own.ok(["import", "-c", "ENV other=1", "-", "name:1"], { input: emptyTar });
  assert.is(await shown(), id.slice("sha256:".length, "sha256:".length + 12));
  assert.is((await own.ok(["ps", "-a", "--no-trunc", "--format", "{{.Image}}"])).trim(), id);
  await own.ok(["tag", id, "name:1"]);
  assert.is(await shown(), "name:1");
});
