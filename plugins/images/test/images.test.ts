/** Pulling, naming, removing and loading, with a fake registry and a storage driver in memory. */
import assert from "node:assert/strict";
import { setImmediate as nextTurn } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { suite } from "@tsbox/harness";
import { type Call, type Descriptor, type Digest, type Image, isTsboxError } from "@tsbox/kernel";
import { call, digestOf, drain, type Engine, FollowingStorage, makeEngine, putImage, types } from "./engine.ts";

const test = suite("images");
const code =
  (expected: string, words = /./) =>
  (error: unknown): boolean =>
    isTsboxError(error) && error.code === expected && words.test(error.message);

const committed = ({ storage }: Engine): readonly (readonly string[])[] =>
  [...storage.snapshots.values()].map(({ layers }) => layers).sort((a, b) => a.length - b.length);
async function blobs({ content }: Engine): Promise<readonly string[]> {
  const all: string[] = [];
  for await (const { digest } of await content.list(call)) all.push(digest);
  return all.sort();
}
const ref = (name: string): string => `docker.io/library/${name}`;

test("a pull brings blobs, snapshots up the chain, a record and Docker's messages", async (t) => {
  const engine = await makeEngine(t);
  const { registry, images } = engine;
  const top = putImage(registry, ["one", "two"], { pack: (plain) => gzipSync(plain) });
  registry.tops.set(ref("a:1"), top);
  const lines = await drain(images.pull(call, "a:1", {}));
  assert.equal(lines[0], "Pulling from library/a");
  assert.deepEqual(lines.slice(-2), [`Digest: ${top.digest}`, "Status: Downloaded newer image for a:1"]);
  assert.equal(lines.filter((line) => line.endsWith(": Pull complete")).length, 2);
  assert.deepEqual(committed(engine), [["one"], ["one", "two"]]);
  const image = await images.get(call, "a:1");
  assert.deepEqual(image.tags, ["a:1"]);
  assert.deepEqual(image.digests, [`a@${top.digest}`]);
  assert.deepEqual(image.config.command, ["/bin/sh"]);
  assert.equal(image.size, 6);
  assert.equal((await images.get(call, image.id)).id, image.id);
  assert.equal((await images.get(call, image.id.slice(7, 15))).id, image.id);
  assert.equal((await images.get(call, `a@${top.digest}`)).id, image.id);
  // A new daemon finds it.
  assert.deepEqual(await (await engine.again()).list(call), [image]);
  assert.equal((await drain(images.pull(call, "a:1", {}))).at(-1), "Status: Image is up to date for a:1");
});

test("what two images share is fetched and unpacked once, also at the same time", async (t) => {
  const engine = await makeEngine(t);
  const { registry, images, storage } = engine;
  registry.tops.set(ref("a:1"), putImage(registry, ["base", "a"]));
  registry.tops.set(ref("b:1"), putImage(registry, ["base", "b"]));
  await Promise.all(["a:1", "b:1", "a:1"].map((name) => drain(images.pull(call, name, {}))));
  assert.deepEqual([...storage.applied].sort(), ["a", "b", "base"]);
  assert.deepEqual(
    committed(engine).map((layers) => layers.join()),
    ["base", "base,a", "base,b"].sort((x, y) => x.length - y.length),
  );
});

test("of an index the platform's image is taken, or the one that was asked for", async (t) => {
  const { registry, images } = await makeEngine(t);
  const [amd, arm] = [putImage(registry, ["amd"]), putImage(registry, ["arm"], { architecture: "arm64", variant: "v8" })];
  const index = registry.put(
    types.index,
    JSON.stringify({
      schemaVersion: 2,
      manifests: [
        { ...arm, platform: { os: "linux", architecture: "arm64", variant: "v8" } },
        { ...amd, platform: { os: "linux", architecture: "amd64" } },
      ],
    }),
  );
  registry.tops.set(ref("a:1"), index);
  await drain(images.pull(call, "a:1", { platform: "linux/arm64" }));
  const image = await images.get(call, "a:1");
  assert.equal(image.platform.architecture, "arm64");
  assert.equal(image.manifest.digest, arm.digest);
  assert.deepEqual(image.digests, [`a@${index.digest}`]);
  await assert.rejects(images.get(call, "a:1", { platform: "linux/amd64" }), code("NotFound", /linux\/arm64/));
  await assert.rejects(drain(images.pull(call, "a:1", { platform: "linux/s390x" })), code("NotFound", /no matching manifest/));
  registry.tops.set(ref("b:1"), amd);
  await assert.rejects(drain(images.pull(call, "b:1", { platform: "linux/arm64" })), code("NotFound", /does not match/));
});

test("a download that is cut goes on, and gives up after a few times", async (t) => {
  const { registry, images } = await makeEngine(t);
  registry.tops.set(ref("a:1"), putImage(registry, ["0123456789".repeat(100)]));
  const layer = digestOf(Buffer.from("0123456789".repeat(100)));
  registry.trouble = (blob, from) => (blob.digest === layer && from === 0 ? "cut" : null);
  const lines = await drain(images.pull(call, "a:1", {}));
  assert.ok(
    lines.some((line) => /Retrying in 1 second$/.test(line)),
    lines.join("\n"),
  );
  assert.deepEqual(
    registry.fetches.filter((fetch) => fetch.startsWith(layer)),
    [`${layer} 0`, `${layer} 500`],
  );
});

test("a layer is unpacked while it comes, and counts when it is verified", async (t) => {
  const storage = new FollowingStorage();
  const engine = await makeEngine(t, storage);
  const { registry, images } = engine;
  registry.tops.set(ref("a:1"), putImage(registry, ["one ... more of one"]));
  const begun = storage.begins();
  // The rest is sent once the driver has seen the first half. A pull that waited for the whole layer would never end.
  registry.halfway = async ({ mediaType }) => {
    if (mediaType !== types.layer) return;
    await begun;
    assert.ok([...storage.snapshots.values()].every(({ committed }) => !committed));
  };
  const lines = await drain(images.pull(call, "a:1", {}));
  assert.deepEqual(storage.early, ["one ... m"]);
  assert.deepEqual(storage.applied, ["one ... more of one"]);
  assert.deepEqual(committed(engine), [["one ... more of one"]]);
  assert.deepEqual(
    lines.map((line) => line.replace(/^[0-9a-f]{12}: /, "")).filter((line) => !/^(Digest|Status|Pulling from)/.test(line)),
    ["Pulling fs layer", "Downloading", "Verifying Checksum", "Download complete", "Extracting", "Pull complete"],
  );
});

test("an interrupted download continues while it is unpacked; one that changes leaves nothing", async (t) => {
  const storage = new FollowingStorage();
  const engine = await makeEngine(t, storage);
  const { registry, images } = engine;
  registry.tops.set(ref("a:1"), putImage(registry, ["one ... more of one"]));
  registry.trouble = ({ mediaType }, from) => (mediaType !== types.layer ? null : from === 0 ? "cut" : null);
  let begun = storage.begins();
  registry.halfway = ({ mediaType }) => (mediaType === types.layer ? begun : Promise.resolve());
  await drain(images.pull(call, "a:1", {}));
  assert.deepEqual(storage.early, ["one ... m"]);
  assert.deepEqual(storage.applied, ["one ... more of one"]);
  assert.deepEqual(committed(engine), [["one ... more of one"]]);

  registry.tops.set(ref("b:1"), putImage(registry, ["two ... more of two"]));
  registry.trouble = ({ mediaType }) => (mediaType === types.layer ? "wrong end" : null);
  begun = storage.begins();
  await assert.rejects(drain(images.pull(call, "b:1", {})), code("DataLoss", /is something else/));
  assert.equal(storage.early.length, 2);
  assert.deepEqual(committed(engine), [["one ... more of one"]]);
});

test("wrong bytes, a missing layer, and a layer that is not its diff id leave no image", async (t) => {
  const engine = await makeEngine(t);
  const { registry, images, storage } = engine;
  registry.tops.set(ref("a:1"), putImage(registry, ["one", "two"]));
  const two = digestOf(Buffer.from("two"));
  for (const [trouble, expected] of [
    ["wrong", "DataLoss"],
    ["gone", "NotFound"],
  ] as const) {
    registry.trouble = (blob) => (blob.digest === two ? trouble : null);
    await assert.rejects(drain(images.pull(call, "a:1", {})), code(expected));
  }
  registry.trouble = () => null;
  registry.tops.set(ref("b:1"), putImage(registry, ["one"], { diffIds: [two] }));
  await assert.rejects(drain(images.pull(call, "b:1", {})), code("DataLoss", /unpacks to/));
  registry.tops.set(ref("c:1"), putImage(registry, ["one"], { diffIds: [] }));
  await assert.rejects(drain(images.pull(call, "c:1", {})), code("DataLoss", /has 1 layers, but its config says 0/));
  assert.deepEqual(await images.list(call), []);
  assert.ok(
    [...storage.snapshots.values()].every((snapshot) => snapshot.committed),
    "an unfinished snapshot was left",
  );
  await drain(images.pull(call, "a:1", {}));
  assert.equal((await images.list(call)).length, 1);
});

test("manifests from strangers that make no sense are refused", async (t) => {
  const { registry, images } = await makeEngine(t);
  for (const [text, expected] of [
    ["{", "DataLoss"],
    ["[]", "DataLoss"],
    ['{"schemaVersion": 1}', "Unsupported"],
    ['{"config": {}, "layers": []}', "DataLoss"],
    ['{"config": {"mediaType": "x", "digest": "sha256:../../x", "size": 1}, "layers": []}', "InvalidArgument"],
    [JSON.stringify({ config: {}, layers: Array(501).fill({}) }), "DataLoss"],
  ] as const) {
    registry.tops.set(ref("a:1"), registry.put(types.manifest, text));
    await assert.rejects(drain(images.pull(call, "a:1", {})), code(expected), text);
  }
  await assert.rejects(drain(images.pull(call, "none:1", {})), code("NotFound", /manifest for/));
  await assert.rejects(images.pull(call, "a b", {}), code("InvalidArgument"));
});

test("a missing image is reported with Docker's message", async (t) => {
  const { images } = await makeEngine(t);
  await assert.rejects(images.get(call, "debian"), code("NotFound", /^No such image: debian:latest$/));
  await assert.rejects(images.get(call, `sha256:${"0".repeat(64)}`), code("NotFound", /^No such image: sha256:000/));
  await assert.rejects(images.ensure(call, "debian:12"), code("NotFound", /^No such image: debian:12$/));
});

async function twoNames(engine: Engine): Promise<Digest> {
  engine.registry.tops.set(ref("a:1"), putImage(engine.registry, ["one", "two"]));
  await drain(engine.images.pull(call, "a:1", {}));
  await engine.images.tag(call, "a:1", "me/b:2");
  return (await engine.images.get(call, "a:1")).id;
}

test("a removed name is untagged; the last one takes image, blobs and snapshots with it", async (t) => {
  const engine = await makeEngine(t);
  const { images } = engine;
  const id = await twoNames(engine);
  const digest = (await images.get(call, "a:1")).digests[0];
  assert.deepEqual(await images.remove(call, "a:1", {}), [{ untagged: "a:1" }, { untagged: digest }]);
  assert.deepEqual((await images.get(call, "me/b:2")).tags, ["me/b:2"]);
  const layers = [...engine.storage.snapshots.keys()].reverse();
  assert.deepEqual(await images.remove(call, "me/b:2", {}), [
    { untagged: "me/b:2" },
    { deleted: id },
    ...layers.map((deleted) => ({ deleted })),
  ]);
  assert.deepEqual(await images.list(call), []);
  assert.deepEqual(await blobs(engine), []);
  assert.equal(engine.storage.snapshots.size, 0);
  await assert.rejects(images.remove(call, "me/b:2", {}), code("NotFound", /^No such image: me\/b:2$/));
});

test("by id with several names only by force", async (t) => {
  const engine = await makeEngine(t);
  const id = await twoNames(engine);
  await assert.rejects(engine.images.remove(call, id, {}), code("Conflict", /must be forced.*referenced in multiple repositories/));
  const gone = await engine.images.remove(call, id, { force: true });
  const untagged = gone.flatMap((line) => ("untagged" in line ? [line.untagged.replace(/@.*/, "@digest")] : []));
  assert.deepEqual(untagged, ["a:1", "a@digest", "me/b:2"]);
  assert.equal(gone.filter((line) => "deleted" in line).length, 3);
});

test("an image that a container uses stays: a running one whatever is said, a stopped one unless forced", async (t) => {
  const engine = await makeEngine(t);
  const { images } = engine;
  const id = await twoNames(engine);
  const users = [{ container: "c".repeat(64), image: id, running: true }];
  await images.remove(call, "me/b:2", { users });
  await assert.rejects(
    images.remove(call, "a:1", { users }),
    code(
      "Conflict",
      /^conflict: unable to remove repository reference "a:1" \(must force\) - container c{12} is using its referenced image [0-9a-f]{12}$/,
    ),
  );
  await assert.rejects(
    images.remove(call, id, { users, force: true }),
    code("Conflict", /^conflict: unable to delete [0-9a-f]{12} \(cannot be forced\) - image is being used by running container c{12}$/),
  );
  const digest = (await images.get(call, "a:1")).digests[0];
  assert.deepEqual(await images.remove(call, "a:1", { users, force: true }), [{ untagged: "a:1" }, { untagged: digest }]);
  assert.deepEqual(
    (await images.list(call)).map((image) => [image.id, image.tags]),
    [[id, []]],
  );
  const stopped = [{ container: "c".repeat(64), image: id, running: false }];
  await assert.rejects(
    images.remove(call, id, { users: stopped }),
    code("Conflict", /\(must be forced\) - image is being used by stopped container c{12}$/),
  );
  const snapshots = [...engine.storage.snapshots.keys()].reverse();
  const gone = await images.remove(call, id, { users: stopped, force: true });
  assert.deepEqual(gone, [{ deleted: id }, ...snapshots.map((deleted) => ({ deleted }))]);
});

test("nameless parents go with their last child, and those that have a name or children stay", async (t) => {
  const engine = await makeEngine(t);
  const { registry, images, storage } = engine;
  registry.tops.set(ref("a:1"), putImage(registry, ["one"]));
  await drain(images.pull(call, "a:1", {}));
  const top = (await images.get(call, "a:1")).id;
  const make = (parent: Digest, reference: string | null): Promise<Image> =>
    images.create(call, {
      parent,
      layer: null,
      changes: [`LABEL made=${reference}`],
      config: {},
      author: "",
      comment: "",
      createdBy: "",
      platform: null,
      reference,
    });
  const middle = await make(top, null);
  const leaf = await make(middle.id, "leaf:1");
  const other = await make(middle.id, "other:1");
  await assert.rejects(
    images.remove(call, middle.id, { force: true }),
    code("Conflict", /\(cannot be forced\) - image has dependent child images$/),
  );
  assert.deepEqual(await images.remove(call, "leaf:1", {}), [{ untagged: "leaf:1" }, { deleted: leaf.id }]);
  assert.deepEqual(await images.remove(call, "other:1", {}), [{ untagged: "other:1" }, { deleted: other.id }, { deleted: middle.id }]);
  assert.deepEqual(
    (await images.list(call)).map((image) => image.id),
    [top],
  );
  assert.equal(storage.snapshots.size, 1);
  const kept = await make((await make(top, null)).id, "kept:1");
  assert.deepEqual(await images.remove(call, "kept:1", { keepParents: true }), [{ untagged: "kept:1" }, { deleted: kept.id }]);
  assert.equal((await images.list(call)).length, 2);
  const { removed } = await images.prune(call, {});
  assert.equal(removed.length, 1);
  assert.deepEqual(
    (await images.prune(call, { all: true })).removed.map((line) => Object.keys(line)[0]),
    ["untagged", "untagged", "deleted", "deleted"],
  );
  assert.equal(storage.snapshots.size, 0);
});

test("what another image needs stays when one is removed", async (t) => {
  const engine = await makeEngine(t);
  const { registry, images } = engine;
  registry.tops.set(ref("a:1"), putImage(registry, ["base", "a"]));
  registry.tops.set(ref("b:1"), putImage(registry, ["base", "b"]));
  for (const name of ["a:1", "b:1"]) await drain(images.pull(call, name, {}));
  await images.remove(call, "a:1", {});
  assert.deepEqual(committed(engine), [["base"], ["base", "b"]]);
  assert.ok((await blobs(engine)).includes(digestOf(Buffer.from("base"))));
  assert.ok(!(await blobs(engine)).includes(digestOf(Buffer.from("a"))));
});

/** From here on removals of blobs wait for `go`; `begun` resolves at the first one. */
function heldRemovals({ content }: Engine): { readonly begun: Promise<void>; readonly go: () => void } {
  const [held, begun] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const { remove } = content;
  Object.assign(content, {
    remove: async (inner: Call, digest: Digest) => {
      begun.resolve();
      await held.promise;
      return remove(inner, digest);
    },
  });
  return { begun: begun.promise, go: held.resolve };
}

test("what shares a layer with an image on its way out, and gets its name meanwhile, is whole", async (t) => {
  const engine = await makeEngine(t);
  const { registry, images } = engine;
  registry.tops.set(ref("a:1"), putImage(registry, ["base", "a"]));
  registry.tops.set(ref("b:1"), putImage(registry, ["base", "b"]));
  await drain(images.pull(call, "a:1", {}));
  const removals = heldRemovals(engine);
  const removing = images.remove(call, "a:1", {});
  await removals.begun;
  await drain(images.pull(call, "b:1", {}));
  removals.go();
  await removing;
  assert.ok((await blobs(engine)).includes(digestOf(Buffer.from("base"))));
  assert.ok(!(await blobs(engine)).includes(digestOf(Buffer.from("a"))));
  assert.deepEqual(committed(engine).map(String), ["base", "base,b"]);
});

test("an image that is pulled again while it is on its way out is whole", async (t) => {
  const engine = await makeEngine(t);
  const { registry, images } = engine;
  registry.tops.set(ref("a:1"), putImage(registry, ["base", "a"]));
  await drain(images.pull(call, "a:1", {}));
  const removals = heldRemovals(engine);
  const removing = images.remove(call, "a:1", {});
  await removals.begun;
  const again = drain(images.pull(call, "a:1", {}));
  // Let it run until it has to wait.
  for (let turn = 0; turn < 200; turn += 1) await nextTurn();
  removals.go();
  await removing;
  await again;
  const there = await blobs(engine);
  for (const blob of registry.blobs.keys()) assert.ok(there.includes(blob), `${blob} is missing`);
  assert.deepEqual(committed(engine).map(String), ["base", "base,a"]);
});

test("a name that moves leaves the old image without one", async (t) => {
  const { registry, images } = await makeEngine(t);
  registry.tops.set(ref("a:1"), putImage(registry, ["old"]));
  await drain(images.pull(call, "a:1", {}));
  const old = (await images.get(call, "a:1")).id;
  registry.tops.set(ref("a:1"), putImage(registry, ["new"]));
  await drain(images.pull(call, "a:1", {}));
  assert.notEqual((await images.get(call, "a:1")).id, old);
  assert.deepEqual((await images.get(call, old)).tags, []);
  await assert.rejects(images.tag(call, "a:1", `b@sha256:${"0".repeat(64)}`), code("InvalidArgument"));
});

test("an archive's images are loaded under the names that it gives them", async (t) => {
  const { registry, images } = await makeEngine(t);
  const [named, nameless] = [putImage(registry, ["one"]), putImage(registry, ["two"])];
  const entry = { ...named, annotations: { "io.containerd.image.name": "x:1,docker.io/me/y:2" } };
  registry.tops.set("/a.tar", registry.put(types.index, JSON.stringify({ manifests: [entry, { ...nameless, annotations: {} }] })));
  const lines = await drain(images.load(call, "/a.tar"));
  assert.equal(lines.length, 3);
  assert.deepEqual(lines.slice(0, 2), ["Loaded image: x:1", "Loaded image: me/y:2"]);
  assert.match(lines[2] ?? "", /^Loaded image ID: sha256:[0-9a-f]{64}$/);
  assert.deepEqual((await images.get(call, "x:1")).tags, ["x:1", "me/y:2"]);
  await assert.rejects(drain(images.load(call, "/none.tar")), code("NotFound"));
});

test("a name with a digest is given to nothing but the image that has it", async (t) => {
  const engine = await makeEngine(t);
  const { registry, images } = engine;
  const [pulled, planted] = [putImage(registry, ["good"]), putImage(registry, ["evil"])];
  registry.tops.set(ref(`a@${pulled.digest}`), pulled);
  await drain(images.pull(call, `a@${pulled.digest}`, {}));
  const good = (await images.get(call, `a@${pulled.digest}`)).id;
  const archive = (top: typeof pulled, name: string): void => {
    const entry = { ...top, annotations: { "io.containerd.image.name": name } };
    registry.tops.set("/a.tar", registry.put(types.index, JSON.stringify({ manifests: [entry] })));
  };
  for (const name of [`a@${pulled.digest}`, `a:1@${pulled.digest}`, `x:1,docker.io/library/a@${pulled.digest}`]) {
    archive(planted, name);
    await assert.rejects(drain(images.load(call, "/a.tar")), code("InvalidArgument", /invalid tag/));
  }
  // Docker also refuses a name that would match where an id is meant.
  archive(planted, `${good.slice(7)}:1`);
  await assert.rejects(drain(images.load(call, "/a.tar")), code("InvalidArgument", /hexadecimal/));
  assert.equal((await images.list(call)).length, 1);
  assert.equal((await images.get(call, `a@${pulled.digest}`)).id, good);
  archive(pulled, `b@${pulled.digest}`);
  await drain(images.load(call, "/a.tar"));
  assert.equal((await images.get(call, `b@${pulled.digest}`)).id, good);
  registry.tops.set(ref(`c@${pulled.digest}`), planted);
  await assert.rejects(drain(images.pull(call, `c@${pulled.digest}`, {})), code("DataLoss"));
  for (const reference of [`n@${pulled.digest}`, "f".repeat(64)]) {
    const image = { reference, parent: null, layer: null, config: {}, changes: [], comment: "", author: "", createdBy: "", platform: null };
    await assert.rejects(images.create(call, image), code("InvalidArgument"));
    await assert.rejects(images.tag(call, good, reference), code("InvalidArgument"));
  }
});

test("an image keeps its manifest and layers when somebody else's manifest names its config", async (t) => {
  const engine = await makeEngine(t);
  const { registry, images } = engine;
  const honest = putImage(registry, ["base"], { pack: (plain) => gzipSync(plain) });
  registry.tops.set(ref("a:1"), honest);
  await drain(images.pull(call, "a:1", {}));
  const [before, had] = [await images.get(call, "a:1"), await blobs(engine)];
  const { config } = JSON.parse(Buffer.from(registry.blobs.get(honest.digest) ?? "").toString()) as { readonly config: unknown };
  const offer = (layer: Descriptor): Descriptor =>
    registry.put(types.manifest, JSON.stringify({ schemaVersion: 2, mediaType: types.manifest, config, layers: [layer] }));
  // The layer is already unpacked here, so this copy is not unpacked.
  for (const junk of ["junk", gzipSync("junk")]) {
    registry.tops.set("/evil.tar", { ...offer(registry.put(types.gzip, junk)), annotations: { "io.containerd.image.name": "b:1" } });
    await assert.rejects(drain(images.load(call, "/evil.tar")), code("DataLoss", /the image is damaged where it comes from/));
    assert.deepEqual(await blobs(engine), had);
  }
  registry.tops.set("/good.tar", {
    ...offer(registry.put(types.gzip, gzipSync("base", { level: 0 }))),
    annotations: { "io.containerd.image.name": "b:1" },
  });
  await drain(images.load(call, "/good.tar"));
  assert.deepEqual(await images.get(call, "a:1"), { ...before, tags: ["a:1", "b:1"] });
  assert.deepEqual(await blobs(engine), had);
});

test("a size that is not that of a blob that is here already is refused", async (t) => {
  const engine = await makeEngine(t);
  const { registry, images } = engine;
  registry.tops.set(ref("a:1"), putImage(registry, ["base"]));
  await drain(images.pull(call, "a:1", {}));
  const had = await blobs(engine);
  const config = registry.put(types.config, JSON.stringify({ rootfs: { type: "layers", diff_ids: [digestOf(Buffer.from("base"))] } }));
  const layer = { ...registry.put(types.layer, "base"), size: 1 << 30 };
  registry.tops.set("/evil.tar", registry.put(types.manifest, JSON.stringify({ schemaVersion: 2, config, layers: [layer] })));
  await assert.rejects(drain(images.load(call, "/evil.tar")), code("DataLoss", /is said to have 1073741824 bytes, and has 4/));
  assert.deepEqual(await blobs(engine), had);
});

test("an index in an archive goes once its image is loaded", async (t) => {
  const engine = await makeEngine(t);
  const { registry, images } = engine;
  const inner = { ...putImage(registry, ["base"]), platform: { os: "linux", architecture: "amd64" } };
  const top = registry.put(types.index, JSON.stringify({ schemaVersion: 2, manifests: [inner] }));
  registry.tops.set("/a.tar", registry.put(types.index, JSON.stringify({ schemaVersion: 2, manifests: [top] })));
  await drain(images.load(call, "/a.tar"));
  assert.equal((await blobs(engine)).includes(top.digest), false);
  await images.remove(call, (await images.list(call))[0]?.id ?? "", {});
  assert.deepEqual(await blobs(engine), []);
});

test("an archive with more names than any has is refused before it gets one", async (t) => {
  const engine = await makeEngine(t);
  const { registry, images } = engine;
  const names = Array.from({ length: 10_001 }, (_, at) => `n${at}`).join();
  registry.tops.set("/a.tar", { ...putImage(registry, ["base"]), annotations: { "io.containerd.image.name": names } });
  await assert.rejects(drain(images.load(call, "/a.tar")), code("DataLoss", /more than 10000 names/));
  assert.deepEqual(await images.list(call), []);
});

test("a config that could not be read back is refused before a layer is made", async (t) => {
  const engine = await makeEngine(t);
  const { images, storage } = engine;
  const image = {
    reference: "a:1",
    parent: null,
    layer: "/nowhere.tar",
    changes: [],
    comment: "",
    author: "",
    createdBy: "",
    platform: null,
  };
  const volumes = Object.fromEntries(Array.from({ length: 1_001 }, (_, at) => [`/v${at}`, {}]));
  await assert.rejects(images.create(call, { ...image, config: { Volumes: volumes } }), code("InvalidArgument", /config\.Volumes is not/));
  const long = { Env: [`A=${"x".repeat(9 << 20)}`] };
  await assert.rejects(images.create(call, { ...image, config: long }), code("InvalidArgument", /config/));
  assert.deepEqual(await blobs(engine), []);
  assert.equal(storage.snapshots.size, 0);
});
