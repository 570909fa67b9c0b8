/** Archives of all versions and tools, and hostile ones. */
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { suite } from "@tsbox/harness";
import { createCall, type Descriptor, type Digest, silentLog } from "@tsbox/kernel";
import { anonymous, call, config, digestOf, type Entry, failure, layer, read, save, tar, unfold, world } from "./world.ts";

const test = suite("registry-archive");
const run = promisify(execFile);
const small = Buffer.from("another layer");

/** The format of Docker 1.10 to 24, in which a repeated layer is a link. */
const classic: readonly Entry[] = [
  ["aaa/layer.tar", layer],
  ["aaa/json", "{}"],
  ["bbb/layer.tar", null, { type: "symlink", linkname: "../aaa/layer.tar" }],
  ["ccc/layer.tar", small],
  ["one.json", config(layer, small)],
  ["two.json", config(layer)],
  [
    "manifest.json",
    JSON.stringify([
      { Config: "one.json", RepoTags: ["a:1", "b/c:2"], Layers: ["aaa/layer.tar", "ccc/layer.tar"] },
      { Config: "two.json", RepoTags: null, Layers: ["bbb/layer.tar"] },
    ]),
  ],
];

const blobName = (bytes: Uint8Array): string => `blobs/sha256/${digestOf(bytes).slice(7)}`;

/** The format of Docker 25 and later: a layout that has a manifest.json. */
function modern(): readonly Entry[] {
  const image = Buffer.from(config(layer));
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: digestOf(image), size: image.length },
      layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", digest: digestOf(layer), size: layer.length }],
    }),
  );
  const entry = { mediaType: "application/vnd.oci.image.manifest.v1+json", digest: digestOf(manifest), size: manifest.length };
  const index = { schemaVersion: 2, manifests: [{ ...entry, annotations: { "io.containerd.image.name": "docker.io/library/a:1" } }] };
  return [
    ["./", null, { type: "directory" }],
    [`./${blobName(layer)}`, layer],
    [`./${blobName(image)}`, image],
    [`./${blobName(manifest)}`, manifest],
    ["./index.json", JSON.stringify(index)],
    ["./manifest.json", JSON.stringify([{ Config: blobName(image), RepoTags: ["a:1"], Layers: [blobName(layer)] }])],
  ];
}

for (const [how, compress] of [
  ["plain", (bytes: Buffer) => bytes],
  ["gzip", (bytes: Buffer) => gzipSync(bytes)],
  ["zstd", (bytes: Buffer) => zstdCompressSync(bytes)],
] as const)
  test(`docker-archive with several images, ${how}`, async (t) => {
    const { docker, oci, directory } = world(t);
    const path = save(directory, "a.tar", compress(await tar(classic)));
    const [one, two, ...more] = await unfold(docker, path);
    assert.equal(more.length, 0);
    assert.equal(one?.config, config(layer, small));
    assert.deepEqual(one?.layers.map(digestOf), [layer, small].map(digestOf));
    assert.equal(one?.entry.annotations?.["io.containerd.image.name"], "a:1,b/c:2");
    assert.deepEqual(one?.entry.platform, { os: "linux", architecture: "arm64", variant: "v8" });
    assert.deepEqual(two?.layers.map(digestOf), [digestOf(layer)]);
    assert.equal(two?.entry.annotations?.["io.containerd.image.name"], "");
    await assert.rejects(oci.resolve(call, path, anonymous), failure("InvalidArgument", /no oci-archive/));
    // Decompressed files have no name on disk.
    if (how !== "plain") assert.deepEqual(readdirSync(`${directory}/scratch`), []);
  });

test("an archive of a newer Docker is both", async (t) => {
  const { docker, oci, directory } = world(t);
  const path = save(directory, "a.tar", await tar(modern()));
  for (const driver of [docker, oci]) {
    const [one] = await unfold(driver, path);
    assert.match(one?.entry.annotations?.["io.containerd.image.name"] ?? "", /a:1$/);
    assert.deepEqual(one?.layers.map(digestOf), [digestOf(layer)]);
  }
});

test("layers that are compressed say so", async (t) => {
  const { docker, directory } = world(t);
  const packed = gzipSync(layer);
  const path = save(
    directory,
    "a.tar",
    await tar([
      ["l", packed],
      ["c", config(layer)],
      ["manifest.json", JSON.stringify([{ Config: "c", RepoTags: [], Layers: ["l"] }])],
    ]),
  );
  const [one] = await unfold(docker, path);
  assert.deepEqual(one?.layers.map(digestOf), [digestOf(packed)]);
});

test("long names, by pax and by GNU", async (t) => {
  const { docker, directory } = world(t);
  const name = `${"d/".repeat(150)}layer.tar`;
  const list = JSON.stringify([{ Config: "c", RepoTags: [], Layers: [name] }]);
  assert.equal(
    (
      await unfold(
        docker,
        save(
          directory,
          "a.tar",
          await tar([
            [name, layer],
            ["c", config(layer)],
            ["manifest.json", list],
          ]),
        ),
      )
    ).length,
    1,
  );
  const tree = `${directory}/tree`;
  mkdirSync(`${tree}/${"d/".repeat(150)}`, { recursive: true });
  writeFileSync(`${tree}/${name}`, layer);
  writeFileSync(`${tree}/c`, config(layer));
  writeFileSync(`${tree}/manifest.json`, list);
  await run("tar", ["--format=gnu", "-C", tree, "-cf", `${directory}/gnu.tar`, "."]);
  assert.equal((await unfold(docker, `${directory}/gnu.tar`)).length, 1);
});

test.skipIf(
  spawnSync("which", ["skopeo"]).status === 0 ? null : "needs skopeo",
  "what skopeo writes is read, with skopeo's digests",
  async (t) => {
    const { docker, oci, directory } = world(t);
    const from = save(directory, "a.tar", await tar(modern()));
    await run("skopeo", ["copy", `docker-archive:${from}`, `docker-archive:${directory}/d.tar:docker.io/library/x:3`]);
    await run("skopeo", ["copy", `docker-archive:${from}`, `oci-archive:${directory}/o.tar:3`]);
    const [one] = await unfold(docker, `${directory}/d.tar`);
    assert.equal(one?.entry.annotations?.["io.containerd.image.name"], "x:3".replace(/^/, "docker.io/library/"));
    const inspected = await run("skopeo", [
      "inspect",
      "--override-arch",
      "arm64",
      "--format",
      "{{.Digest}}",
      `oci-archive:${directory}/o.tar:3`,
    ]);
    const [other] = await unfold(oci, `${directory}/o.tar`);
    assert.equal(other?.entry.digest, inspected.stdout.trim());
  },
);

test("a file that was replaced is read anew, one that was removed is gone", async (t) => {
  const { docker, directory } = world(t);
  const path = save(directory, "a.tar", await tar(classic));
  assert.equal((await unfold(docker, path)).length, 2);
  rmSync(path);
  await assert.rejects(docker.resolve(call, path, anonymous), failure("NotFound", /no such file/));
  save(directory, "a.tar", await tar(modern()));
  assert.equal((await unfold(docker, path)).length, 1);
});

const manifest = (layers: readonly string[]): Entry => [
  "manifest.json",
  JSON.stringify([{ Config: "c", RepoTags: ["a:1"], Layers: layers }]),
];
const hostile: readonly (readonly [string, readonly Entry[], string, RegExp])[] = [
  [
    "a link out of the archive",
    [["l", null, { type: "symlink", linkname: "/etc/passwd" }], ["c", config(layer)], manifest(["l"])],
    "DataLoss",
    /has no "l"/,
  ],
  [
    "a link up and out",
    [["x/l", null, { type: "symlink", linkname: "../../etc/passwd" }], ["c", config(layer)], manifest(["x/l"])],
    "DataLoss",
    /has no "x\/l"/,
  ],
  ["a name up and out", [["../l", layer], ["c", config(layer)], manifest(["../l"])], "DataLoss", /has no "\.\.\/l"/],
  [
    "links in a ring",
    [
      ["l", null, { type: "symlink", linkname: "m" }],
      ["m", null, { type: "symlink", linkname: "l" }],
      ["c", config(layer)],
      manifest(["l"]),
    ],
    "DataLoss",
    /has no "l"/,
  ],
  ["a directory for a layer", [["l", null, { type: "directory" }], ["c", config(layer)], manifest(["l"])], "DataLoss", /has no "l"/],
  ["a config that is missing", [["l", layer], manifest(["l"])], "DataLoss", /has no "c"/],
  ["a manifest.json that is no list", [["manifest.json", "{}"]], "DataLoss", /lists no images/],
  ["a manifest.json that is no JSON", [["manifest.json", "{"]], "DataLoss", /is not JSON/],
  ["an image without layers", [["manifest.json", '[{"Config": "c"}]']], "DataLoss", /without Config or Layers/],
  ["a manifest.json beyond all measure", [["manifest.json", Buffer.alloc(9 << 20, " ")]], "DataLoss", /bytes long/],
  ["neither format", [["etc/passwd", "x"]], "InvalidArgument", /no manifest.json/],
];
for (const [what, entries, code, words] of hostile)
  test(`${what} is ${code}`, async (t) => {
    const { docker, directory } = world(t);
    await assert.rejects(docker.resolve(call, save(directory, "a.tar", await tar(entries)), anonymous), failure(code, words));
  });

test("what is no tar, cut off, torn or compressed otherwise is said", async (t) => {
  const { docker, directory } = world(t);
  const whole = await tar(classic);
  const torn = Buffer.from(whole);
  torn.fill(0x41, 512 + layer.length, 512 + layer.length + 512);
  const cases = [
    ["text", Buffer.from("hello ".repeat(1000)), "InvalidArgument", /it is no tar/],
    ["empty", Buffer.alloc(0), "InvalidArgument", /it is no tar/],
    ["zeros", Buffer.alloc(1024), "InvalidArgument", /no manifest.json/],
    ["cut", whole.subarray(0, 100_000), "DataLoss", /cut off/],
    ["torn", torn, "DataLoss", /is torn at byte/],
    ["cut gzip", gzipSync(whole).subarray(0, 100_000), "DataLoss", /can't be decompressed/],
    ["xz", Buffer.from("fd377a585a000004", "hex"), "InvalidArgument", /xz/],
    ["bzip2", Buffer.from("BZh91AY&SY"), "InvalidArgument", /bzip2/],
  ] as const;
  for (const [name, bytes, code, words] of cases)
    await assert.rejects(docker.resolve(call, save(directory, name, bytes), anonymous), failure(code, words), name);
  await assert.rejects(docker.resolve(call, "a.tar", anonymous), failure("InvalidArgument", /absolute/));
  await assert.rejects(docker.resolve(call, directory, anonymous), failure("InvalidArgument", /no plain file/));
  spawnSync("mkfifo", [`${directory}/pipe`]);
  await assert.rejects(docker.resolve(call, `${directory}/pipe`, anonymous), failure("InvalidArgument", /no plain file/));
});

test("a size beyond the file, or beyond numbers, is cut off", async (t) => {
  const { docker, directory } = world(t);
  for (const field of ["77777777777\0", "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff", "\xff".repeat(12)]) {
    const bytes = await tar([["l", small]]);
    bytes.write(field, 124, "latin1");
    bytes.fill(" ", 148, 156);
    const sum = bytes.subarray(0, 512).reduce((total, byte) => total + byte, 0);
    bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
    await assert.rejects(docker.resolve(call, save(directory, "a.tar", bytes), anonymous), failure("DataLoss", /cut off/));
  }
});

test("a diff id that lies reaches the content store as other bytes; a canceled call stops", async (t) => {
  const { docker, directory } = world(t);
  const path = save(directory, "a.tar", await tar([["l", small], ["c", config(layer)], manifest(["l"])]));
  await assert.rejects(unfold(docker, path), /is not what it should be/);
  const controller = new AbortController();
  const blob: Descriptor = { mediaType: "x", digest: digestOf(layer), size: small.length };
  const stream = await docker.fetch(createCall(silentLog, { signal: controller.signal }), path, blob, 0, anonymous);
  controller.abort();
  await assert.rejects(read(stream), failure("Canceled", /./));
  const gone = { ...blob, digest: `sha256:${"0".repeat(64)}` as Digest };
  await assert.rejects(docker.fetch(call, path, gone, 0, anonymous), failure("NotFound", /incomplete/));
});

/** A manifest.json of images that have these configs. */
const images = (configs: readonly string[], layers: readonly string[]): Entry => [
  "manifest.json",
  JSON.stringify(configs.map((Config) => ({ Config, RepoTags: null, Layers: layers }))),
];

test("configs, layers and names beyond all measure are refused, and no config stays in memory", async (t) => {
  const { docker, directory } = world(t);
  const config = (at: number): Buffer => Buffer.from(`{"at":${at}}`.padEnd(8 << 20));
  const names = Array.from({ length: 17 }, (_, at) => `c${at}`);
  const configs = [images(names, []), ...names.map((name, at): Entry => [name, config(at)])];
  const layers: Entry[] = [
    images(
      Array.from({ length: 401 }, () => "c"),
      Array(500).fill("l"),
    ),
    ["c", "{}"],
    ["l", "x"],
  ];
  const name: Entry[] = [[`${"n/".repeat(2500)}n`, "x"], ...classic];
  for (const [entries, words] of [
    [configs, /configs in .* more than 134217728 bytes/],
    [layers, /more than 200000 layers/],
    [name, /names of too many bytes/],
  ] as const)
    await assert.rejects(docker.resolve(call, save(directory, "a.tar", await tar(entries)), anonymous), failure("DataLoss", words));
});

test("a file that many images name is read once", async (t) => {
  const { docker, directory } = world(t);
  const many = Array.from({ length: 10_000 }, () => "c");
  const big = gzipSync(Buffer.alloc(8 << 20), { level: 0 });
  const entries: Entry[] = [images(many, ["l"]), ["c", JSON.stringify({ padding: "x".repeat(4 << 20) })], ["l", big]];
  const top = await docker.resolve(call, save(directory, "a.tar", await tar(entries)), anonymous);
  const index = JSON.parse((await read(await docker.fetch(call, join(directory, "a.tar"), top, 0, anonymous))).toString());
  assert.equal(index.manifests.length, many.length);
});

test("an index without manifests is refused", async (t) => {
  const { oci, directory } = world(t);
  const path = save(directory, "a.tar", await tar([["index.json", '{"manifests": []}']]));
  await assert.rejects(oci.resolve(call, path, anonymous), failure("DataLoss", /lists no manifests/));
});
