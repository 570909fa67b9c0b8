import { suite } from "@tsbox/harness";
import { isTsboxError, type Json } from "@tsbox/kernel";
import * as assert from "uvu/assert";
import { parseBind, parseMounts, showMounts } from "../src/operations/mounts.ts";

const test = suite("api: mounts");
const of = (host: Json, body: Json = {}) => parseMounts(body, host);
const refused = (work: () => unknown, words: RegExp): void =>
  assert.throws(work, (error: unknown) => isTsboxError(error) && error.code === "InvalidArgument" && words.test(error.message));

test("binds: paths, volumes, modes", () => {
  const bind = parseBind("/a//b/:/x/../y:ro,rslave,z");
  assert.equal(bind, {
    kind: "bind",
    source: "/a/b",
    target: "/y",
    readOnly: true,
    propagation: "rslave",
    recursive: true,
    readOnlyDepth: "as-far-as-possible",
    createSource: true,
    mode: "ro,rslave,z",
  });
  const named = parseBind("data:/x:nocopy");
  assert.equal([named.kind, "name" in named && named.name, "copy" in named && named.copy, named.mode], ["volume", "data", false, "nocopy"]);
  const nameless = parseBind("/x");
  assert.equal([nameless.kind, "name" in nameless && nameless.name, nameless.target], ["volume", null, "/x"]);
  for (const [text, words] of [
    ["/a:/b:ro:x", /invalid volume specification: '\/a:\/b:ro:x'/],
    ["/a:b", /invalid mount path: 'b' mount path must be absolute/],
    ["/a:/", /destination can't be '\/'/],
    ["/a:/b/..", /destination can't be '\/'/],
    [":/b", /invalid volume specification/],
    ["/a:/b:ro,rw", /invalid mode: ro,rw/],
    ["/a:/b:nocopy", /invalid mode: nocopy/],
    ["data:/b:rshared", /invalid mode: rshared/],
    ["/a:/b:exec", /invalid mode: exec/],
  ] as const)
    refused(() => parseBind(text), words);
});

test("mounts of the API: each type with its options, and no other's", () => {
  const one = (mount: Json) => of({ Mounts: [mount] }).mounts[0];
  assert.equal(
    one({
      Type: "bind",
      Source: "/s",
      Target: "/t",
      ReadOnly: true,
      BindOptions: { NonRecursive: true, ReadOnlyNonRecursive: true, CreateMountpoint: true },
    }),
    {
      kind: "bind",
      source: "/s",
      target: "/t",
      readOnly: true,
      propagation: null,
      recursive: false,
      readOnlyDepth: "top",
      createSource: true,
      mode: "",
    },
  );
  assert.equal(
    one({
      Type: "volume",
      Source: "v",
      Target: "/t/",
      VolumeOptions: { NoCopy: true, Subpath: "a/b", Labels: { l: "1" }, DriverConfig: { Name: "d", Options: { o: "2" } } },
    }),
    {
      kind: "volume",
      target: "/t",
      readOnly: false,
      name: "v",
      driver: "d",
      options: { o: "2" },
      labels: { l: "1" },
      copy: false,
      subpath: "a/b",
      mode: "z",
    },
  );
  assert.equal(one({ Type: "tmpfs", Target: "/t", TmpfsOptions: { SizeBytes: 1024, Mode: 0o1777, Options: [["exec"]] } }), {
    kind: "tmpfs",
    target: "/t",
    readOnly: false,
    options: ["size=1024", "mode=1777", "exec"],
    plain: false,
  });
  assert.equal(one({ Type: "image", Source: "i:1", Target: "/t", ImageOptions: { Subpath: "x" } }), {
    kind: "image",
    target: "/t",
    readOnly: true,
    reference: "i:1",
    subpath: "x",
  });
  for (const [mount, words] of [
    [{ Type: "npipe", Target: "/t" }, /mount type unknown/],
    [{ Type: "bind", Source: "/s" }, /type "bind": field Target must not be empty/],
    [{ Type: "bind", Target: "/t" }, /field Source must not be empty/],
    [{ Type: "bind", Source: "s", Target: "/t" }, /'s' mount path must be absolute/],
    [{ Type: "bind", Source: "/s", Target: "/t", VolumeOptions: {} }, /field VolumeOptions must not be specified/],
    [{ Type: "bind", Source: "/s", Target: "/t", BindOptions: { Propagation: "up" } }, /invalid propagation mode: up/],
    [{ Type: "bind", Source: "/s", Target: "/t", BindOptions: { ReadOnlyNonRecursive: true, ReadOnlyForceRecursive: true } }, /conflict/],
    [{ Type: "volume", Target: "/t", ReadOnly: true }, /must not set ReadOnly mode when using anonymous volumes/],
    [{ Type: "volume", Target: "/t", VolumeOptions: { Subpath: "a" } }, /must not set Subpath when using anonymous volumes/],
    [
      { Type: "volume", Source: "v", Target: "/t", VolumeOptions: { Subpath: "a/../../b" } },
      /subpath must be a relative path within the volume/,
    ],
    [{ Type: "tmpfs", Source: "/s", Target: "/t" }, /field Source must not be specified/],
    [{ Type: "tmpfs", Target: "/t", TmpfsOptions: { Options: [["dev"]] } }, /invalid option: dev/],
    [{ Type: "image", Target: "/t" }, /field Source must not be empty/],
  ] as const)
    refused(() => one(mount), words);
});

test("tmpfs, anonymous volumes, volumes of others, the driver for those without a word of their own", () => {
  const asked = of(
    {
      Tmpfs: { "/t": "size=1m,exec" },
      VolumesFrom: ["a", "b:ro", "c:rw,z"],
      VolumeDriver: "d",
      Binds: ["v:/v", "/h:/h"],
      Mounts: [{ Type: "volume", Source: "m", Target: "/m" }],
    },
    { Volumes: { "/data": {}, "/other/": {} } },
  );
  assert.equal(asked.volumes, ["/data", "/other"]);
  assert.equal(asked.volumesFrom, [
    { container: "a", readOnly: null },
    { container: "b", readOnly: true },
    { container: "c", readOnly: false },
  ]);
  assert.equal(
    asked.mounts.map((mount) => [mount.kind, mount.target, "driver" in mount ? mount.driver : "-"]),
    [
      ["volume", "/v", "d"],
      ["bind", "/h", "-"],
      ["volume", "/m", null],
      ["tmpfs", "/t", "-"],
    ],
  );
  refused(() => of({ Tmpfs: { "/t": "size=1m,upperdir=/etc" } }), /invalid tmpfs option \["upperdir=\/etc"\]/);
  refused(() => of({ VolumesFrom: ["a:nope"] }), /invalid mode/);
  refused(() => of({ VolumesFrom: [":ro"] }), /malformed/);
});

test("what inspect shows: --tmpfs is in HostConfig alone", () => {
  const shown = showMounts([
    { kind: "tmpfs", target: "/a", readOnly: false, options: [], plain: true },
    { kind: "tmpfs", target: "/b", readOnly: true, options: [], plain: false },
    { kind: "image", target: "/c", readOnly: true, reference: "i:1", view: "mount-x", subpath: "" },
  ]);
  assert.equal(shown, [
    { Type: "tmpfs", Source: "", Destination: "/b", Mode: "", RW: false, Propagation: "" },
    { Type: "image", Source: "i:1", Destination: "/c", Mode: "", RW: false, Propagation: "" },
  ]);
});
