import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { suite, temporaryDirectory } from "@tsbox/harness";
import { emptyConfig, parseConfig, readConfig } from "../src/host/index.ts";
import { isTsboxError } from "../src/index.ts";

const test = suite("config");

test("every key may be left out", () => assert.deepEqual(parseConfig({}, "c"), emptyConfig));

test("all keys", () => {
  const raw = {
    root: "/r",
    state: "/s",
    hosts: ["unix:///x"],
    logLevel: "debug",
    drivers: { storage: "vfs" },
    storage: {},
    exec: { gvisor: { driver: "oci", path: "runsc", flags: [1] }, plain: { driver: "oci" } },
    network: {},
    registry: {},
    volume: { "a.b_c-1": { driver: "local" } },
    log: {},
    plugins: ["a", { package: "b", name: "c", config: { d: 1 } }],
    isolation: { a: "process" },
    deadlines: { storage: 3 },
  };
  assert.deepEqual(parseConfig(raw, "c"), {
    ...raw,
    exec: {
      gvisor: { driver: "oci", config: { path: "runsc", flags: [1] } },
      plain: { driver: "oci", config: undefined },
    },
    volume: { "a.b_c-1": { driver: "local", config: undefined } },
    plugins: [
      { name: "a", package: "a", config: undefined },
      { name: "c", package: "b", config: { d: 1 } },
    ],
  });
});

for (const [raw, text] of [
  [{ driver: {} }, `c: unknown key "driver"; known are root, state`],
  [{ drivers: { storage: 3 } }, "c: drivers.storage must be a string, not 3"],
  [{ plugins: [{ package: "a", conf: 1 }] }, `c: plugins[0]: unknown key "conf"`],
  [{ plugins: [{}] }, "c: plugins[0].package must be a string, not undefined"],
  [{ plugins: [{ name: "a", enabled: 0 }] }, "c: plugins[0].enabled must be true or false, not 0"],
  [{ plugins: {} }, "c: plugins must be a list"],
  [{ root: "here" }, `c: root must be an absolute path, not "here"`],
  [{ logLevel: "loud" }, "c: logLevel must be one of debug, info, warn, error"],
  [{ deadlines: { storage: 0 } }, "c: deadlines.storage must be a number above 0"],
  [{ weather: { rain: { driver: "cloud" } } }, `c: unknown key "weather"; known are root, state`],
  [{ storage: "aufs" }, `c: storage: overlay stands in the place of aufs; to choose one write "drivers": {"storage": "overlay"}`],
  [{ storage: "overlay2" }, `c: storage: overlay stands in the place of overlay2; to choose one write "drivers": {"storage": "overlay"}`],
  [{ exec: "lxc" }, `c: exec adds drivers, and must be an object; to choose one write "drivers": {"exec": "lxc"}`],
  [{ exec: ["lxc"] }, `c: exec must be an object, not ["lxc"]`],
  [{ exec: { gvisor: "oci" } }, `c: exec.gvisor must be an object, not "oci"`],
  [{ exec: { gvisor: { path: "runsc" } } }, "c: exec.gvisor.driver must be a string, not undefined"],
  [{ exec: { "../up": { driver: "oci" } } }, `c: exec: "../up" is no id of a driver: it has 1 to 63 of a-z 0-9 _ . -`],
  [[], "c must be an object, not []"],
] as const) {
  test(`refused: ${JSON.stringify(raw)}`, () => {
    assert.throws(
      () => parseConfig(raw, "c"),
      (error) => isTsboxError(error) && error.code === "InvalidArgument" && error.message.startsWith(text) && !error.message.includes("\n"),
    );
  });
}

test("a file that is not JSON, and one that is not there", async (test) => {
  const path = `${temporaryDirectory(test)}/config.json`;
  await assert.rejects(readConfig(path), (error) => isTsboxError(error) && error.code === "NotFound");
  writeFileSync(path, `{"root": }`);
  await assert.rejects(
    readConfig(path),
    (error) => isTsboxError(error) && error.code === "InvalidArgument" && error.message.startsWith(`${path} is not JSON`),
  );
});
