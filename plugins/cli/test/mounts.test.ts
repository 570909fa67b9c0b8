import { suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { CommandError } from "../src/command-error.ts";
import { parseFlags } from "../src/flags.ts";
import { mountBody, mountFlags, parseMount } from "../src/mounts.ts";

const test = suite("--mount and its like");
const parse = (text: string) => parseMount(text, "/home/me");

test("--mount as docker's own parser reads it", () => {
  assert.equal(parse("type=bind,src=/a,dst=/b,ro"), { Type: "bind", Source: "/a", Target: "/b", ReadOnly: true });
  assert.equal(parse("type=bind,source=./a,target=/b,readonly=false"), { Type: "bind", Source: "/home/me/a", Target: "/b" });
  assert.equal(
    parse(
      'src=v,destination=/b,volume-nocopy,"volume-opt=o=addr=1.2.3.4,rw",volume-opt=type=nfs,volume-driver=local,volume-label=a=b,volume-subpath=x',
    ),
    {
      Type: "volume",
      Source: "v",
      Target: "/b",
      VolumeOptions: {
        NoCopy: true,
        Subpath: "x",
        Labels: { a: "b" },
        DriverConfig: { Name: "local", Options: { o: "addr=1.2.3.4,rw", type: "nfs" } },
      },
    },
  );
  assert.equal(parse("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770"), {
    Type: "tmpfs",
    Target: "/t",
    TmpfsOptions: { SizeBytes: 1 << 20, Mode: 0o1770 },
  });
  assert.equal(parse("TYPE=image,SOURCE=i:1,TARGET=/i,image-subpath=x"), {
    Type: "image",
    Source: "i:1",
    Target: "/i",
    ImageOptions: { Subpath: "x" },
  });
  assert.equal(parse("type=bind,src=/a,dst=/b,ro,bind-propagation=rprivate,bind-recursive=readonly"), {
    Type: "bind",
    Source: "/a",
    Target: "/b",
    ReadOnly: true,
    BindOptions: { Propagation: "rprivate", ReadOnlyForceRecursive: true },
  });
});

test("what it refuses", () => {
  for (const [text, words] of [
    ["", /value is empty/],
    ["type=bind,source", /invalid field 'source' must be a key=value pair/],
    ["type=bind,src=/a", /target is required/],
    ["type=,dst=/b", /type is required/],
    ["dst=/b,nonsense=1", /unexpected key 'nonsense' in 'nonsense=1'/],
    ["dst=/b,ro=maybe", /invalid value for ro: maybe/],
    ["type=bind,src=/a,dst=/b,tmpfs-size=1", /cannot mix 'tmpfs-\*' options with mount type 'bind'/],
    ["type=tmpfs,dst=/b,bind-propagation=shared", /cannot mix 'bind-\*' options with mount type 'tmpfs'/],
    ["type=tmpfs,dst=/b,tmpfs-mode=9", /invalid value for tmpfs-mode: 9/],
    ["type=bind,src=/a,dst=/b,bind-recursive=sideways", /invalid value for bind-recursive: sideways/],
    ["type=bind,src=/a,dst=/b,bind-recursive=readonly", /requires 'readonly' to be specified in conjunction/],
    ["type=bind,src=/a,dst=/b,ro,bind-recursive=readonly", /requires 'bind-propagation=rprivate'/],
  ] as const)
    assert.throws(
      () => parse(text),
      (error: unknown) => error instanceof CommandError && error.exitCode === 125 && words.test(error.message),
    );
});

test("-v: a target alone is an anonymous volume, a dot is where the user is", () => {
  const parsed = parseFlags(
    "run",
    ["-v", "/data", "-v", "v:/v:ro", "-v", "./x:/x", "--tmpfs", "/t:size=1m", "--tmpfs", "/u", "--volumes-from", "a:ro"],
    mountFlags,
    false,
  );
  const { Volumes, HostConfig } = mountBody(parsed, "/home/me");
  assert.equal(Volumes, { "/data": {} });
  assert.equal(HostConfig, {
    Binds: ["v:/v:ro", "/home/me/x:/x"],
    Mounts: [],
    Tmpfs: { "/t": "size=1m", "/u": "" },
    VolumesFrom: ["a:ro"],
  });
});
