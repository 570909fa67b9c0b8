/** CDI: parsing and refusing spec files, devices by precedence, edits of a spec, requests in Docker's form. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, temporaryDirectory } from "@tsbox/harness";
import type { DeviceRequest, OciSpec } from "@tsbox/kernel";
import * as assert from "uvu/assert";
import { edited } from "../src/cdi/edits.ts";
import { parseSpec } from "../src/cdi/format.ts";
import { CdiRegistry } from "../src/cdi/registry.ts";
import { devicesRequested } from "../src/cdi/requests.ts";

const test = suite("containers: CDI");
const spec = (more: object): object => ({ cdiVersion: "0.6.0", kind: "vendor.com/class", devices: [{ name: "one" }], ...more });
const request = (more: Partial<DeviceRequest>): DeviceRequest => ({ driver: "", count: 0, ids: [], capabilities: [["gpu"]], ...more });

test("what is no spec says why", () => {
  for (const [wrong, words] of [
    [null, /a CDI spec is no mapping/],
    [spec({ cdiVersion: "9.0.0" }), /cdiVersion "9\.0\.0" is none that is known/],
    [spec({ kind: "class" }), /kind "class" is not VENDOR\/CLASS/],
    [spec({ devices: [] }), /no devices/],
    [spec({ devices: [{ name: "a b" }] }), /invalid device name "a b"/],
    [spec({ devices: [{ name: "a" }, { name: "a" }] }), /"a" is there twice/],
    [spec({ containerEdits: { env: ["NOTHING"] } }), /invalid environment variable "NOTHING"/],
    [spec({ containerEdits: { deviceNodes: [{ path: "dev/x" }] } }), /path of a device node "dev\/x" is not absolute/],
    [spec({ containerEdits: { hooks: [{ hookName: "later", path: "/x" }] } }), /hook later is not supported/],
    [spec({ containerEdits: { netDevices: [] } }), /netDevices of containerEdits is not supported/],
  ] as const)
    assert.throws(() => parseSpec(wrong), words);
});

test("JSON and YAML; later directories count more, two files of one directory cancel out, broken files are reported", async (t) => {
  const directory = temporaryDirectory(t);
  const [low, high] = [join(directory, "low"), join(directory, "high")];
  for (const path of [low, high]) mkdirSync(path);
  const yaml = 'cdiVersion: "0.6.0"\nkind: vendor.com/class\ndevices:\n- name: one\n  containerEdits:\n    env: [FROM=low]\n- name: only\n';
  writeFileSync(join(low, "a.yaml"), yaml);
  writeFileSync(join(low, "broken.json"), "{");
  writeFileSync(join(low, "none.txt"), "{");
  writeFileSync(
    join(high, "a.json"),
    JSON.stringify(spec({ devices: [{ name: "one", containerEdits: { env: ["FROM=high"] } }, { name: "two" }] })),
  );
  writeFileSync(join(high, "b.json"), JSON.stringify(spec({ devices: [{ name: "two" }] })));
  const registry = await CdiRegistry.read([low, join(directory, "absent"), high]);
  assert.equal(registry.names(), ["vendor.com/class=one", "vendor.com/class=only"]);
  assert.equal(
    registry.warnings.map((text) => text.replaceAll(directory, "")).map((text) => text.split(":")[0]),
    ["/low/broken.json is no CDI spec", "CDI device vendor.com/class=two is in two files of /high"],
  );
  assert.equal(
    registry.editsFor(["vendor.com/class=one"]).flatMap(({ env }) => env),
    ["FROM=high"],
  );
  assert.throws(
    () => registry.editsFor(["vendor.com/class=one", "vendor.com/class=two", "x.y/z=1"]),
    /^.*CDI device injection failed: unresolvable CDI devices vendor\.com\/class=two, x\.y\/z=1$/,
  );
});

test("edits: a spec's own once, variables anew, nodes with rules, mounts in their order, hooks by their moment", async (t) => {
  const directory = temporaryDirectory(t);
  const node = { path: "/dev/made", hostPath: "/dev/null", permissions: "rw" };
  const edits = {
    env: ["ALL=1", "PATH=/new"],
    mounts: [{ hostPath: "/usr", containerPath: "/a/b", options: ["ro"] }],
    hooks: [{ hookName: "createContainer", path: "/bin/true", args: ["true"], timeout: 3 }],
    additionalGids: [0, 44],
  };
  const devices = [
    { name: "one", containerEdits: { deviceNodes: [node] } },
    { name: "two", containerEdits: { env: ["TWO=2"] } },
  ];
  writeFileSync(join(directory, "a.json"), JSON.stringify(spec({ containerEdits: edits, devices })));
  const registry = await CdiRegistry.read([directory]);
  const before: OciSpec = {
    ociVersion: "1.2.0",
    process: { args: ["x"], cwd: "/", env: ["PATH=/old", "KEEP=1"], user: { uid: 7, gid: 8, additionalGids: [8] } },
    mounts: [{ destination: "/a/b/c" }, { destination: "/proc" }],
    linux: { resources: { devices: [{ allow: false, access: "rwm" }] } },
  };
  const names = ["vendor.com/class=one", "vendor.com/class=two"];
  const after = edited(before, registry.editsFor(names)) as unknown as Record<string, Record<string, unknown>> & { mounts: unknown };
  assert.equal(after.process?.env, ["KEEP=1", "ALL=1", "PATH=/new", "TWO=2"]);
  assert.equal(after.process?.user, { uid: 7, gid: 8, additionalGids: [8, 44] });
  assert.equal(after.mounts, [
    { destination: "/proc" },
    { destination: "/a/b", source: "/usr", type: "bind", options: ["rbind", "ro"] },
    { destination: "/a/b/c" },
  ]);
  assert.equal(after.hooks, { createContainer: [{ path: "/bin/true", args: ["true"], env: [], timeout: 3 }] });
  assert.equal(after.linux, {
    devices: [{ path: "/dev/made", type: "c", major: 1, minor: 3, fileMode: 0o666, uid: 7, gid: 8, hostPath: "/dev/null" }],
    resources: {
      devices: [
        { allow: false, access: "rwm" },
        { allow: true, type: "c", major: 1, minor: 3, access: "rw" },
      ],
    },
  });
});

test("GPUs: by number, by id, all of them, or refused with Docker's message", async (t) => {
  const directory = temporaryDirectory(t);
  const none = await CdiRegistry.read([directory]);
  const words = 'could not select device driver "" with capabilities: [[gpu]]';
  assert.throws(
    () => devicesRequested([request({ count: -1 })], none),
    (error: Error) => error.message === words,
  );
  const write = (names: readonly string[]): void =>
    writeFileSync(join(directory, "n.json"), JSON.stringify(spec({ kind: "nvidia.com/gpu", devices: names.map((name) => ({ name })) })));
  write(["0", "1", "GPU-abc"]);
  const some = await CdiRegistry.read([directory]);
  const full = (...ids: readonly string[]): readonly string[] => ids.map((id) => `nvidia.com/gpu=${id}`);
  assert.equal(devicesRequested([request({ count: -1 })], some), full("0", "1"));
  assert.equal(devicesRequested([request({ count: 1 })], some), full("0"));
  assert.equal(devicesRequested([request({ ids: ["GPU-abc", "1"], capabilities: [["utility", "gpu"]] })], some), full("GPU-abc", "1"));
  assert.equal(devicesRequested([request({ driver: "cdi", ids: ["x.y/z=1"] })], some), ["x.y/z=1"]);
  write(["0", "all"]);
  assert.equal(devicesRequested([request({ count: -1 })], await CdiRegistry.read([directory])), full("all"));
  assert.throws(
    () => devicesRequested([request({ driver: "other", capabilities: [["gpu", "x"], ["tpu"]] })], some),
    (error: Error) => error.message === 'could not select device driver "other" with capabilities: [[gpu x] [tpu]]',
  );
});
