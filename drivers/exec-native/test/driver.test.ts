import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, temporaryDirectory } from "@tsbox/harness";
import { type Bundle, type ContainerId, createCall, isTsboxError, type OciSpec, silentLog } from "@tsbox/kernel";
import { filterAnnotation, NativeDriver } from "../src/driver.ts";
import { FilterStore } from "../src/internal/filter-store.ts";
import { probe } from "../src/probe.ts";

const test = suite("exec-native");
const call = createCall(silentLog);
const plain: OciSpec = {
  ociVersion: "1.2.0",
  process: { args: ["true"], cwd: "/", user: { uid: 0, gid: 0 } },
  mounts: [{ destination: "/proc", type: "proc", source: "proc", options: [] }],
  linux: { namespaces: [{ type: "pid" }], resources: { memory: { limit: 1 << 20 } } },
};
/** For specs without a profile. */
const unused = new FilterStore({ compileSeccomp: () => Promise.reject(new Error("nothing to compile")) }, "/nowhere");
const bundle = (spec: OciSpec): Bundle => ({ id: "0".repeat(64) as ContainerId, directory: "/nowhere", spec, rootfs: [] });

test("a spec goes on as it came", async () => {
  const launch = await new NativeDriver(unused).plan(call, bundle(plain));
  assert.deepEqual(launch, { kind: "oci", spec: plain });
});

test("a field that the runtime does not carry out is refused by its name", async () => {
  const cases: readonly (readonly [string, OciSpec])[] = [
    ["linux.intelRdt", { ...plain, linux: { ...plain.linux, intelRdt: { closID: "x" } } }],
    ["solaris", { ...plain, solaris: {} }],
    ["process.execCPUAffinity", { ...plain, process: { ...plain.process, execCPUAffinity: {} } }],
    ["linux.resources.memory.checkBeforeUpdate", { ...plain, linux: { resources: { memory: { checkBeforeUpdate: true } } } }],
    ["mounts[0].idMaps", { ...plain, mounts: [{ destination: "/x", ...{ idMaps: {} } }] }],
  ];
  for (const [field, spec] of cases) {
    await assert.rejects(
      new NativeDriver(unused).plan(call, bundle(spec)),
      (error) => isTsboxError(error) && error.code === "Unsupported" && error.message.includes(` ${field} `),
      field,
    );
  }
});

test("what is null asks for nothing", async () => {
  await new NativeDriver(unused).plan(call, bundle({ ...plain, vm: null, linux: { ...plain.linux, intelRdt: null } }));
});

test("one file for each distinct profile, compiled once", async (test) => {
  let compiled = 0;
  const compiler = {
    compileSeccomp: async (_call: unknown, profile: string) => {
      compiled++;
      return Buffer.from(profile);
    },
  };
  const driver = new NativeDriver(new FilterStore(compiler, `${temporaryDirectory(test)}/seccomp`));
  const withProfile = (defaultAction: string, flags: readonly string[] = []): OciSpec => ({
    ...plain,
    annotations: { mine: "1" },
    linux: { ...plain.linux, seccomp: { defaultAction, flags } },
  });
  const specs = ["A", "A", "B"].map((action) => driver.plan(call, bundle(withProfile(action))));
  const [one, again, other] = (await Promise.all(specs)).map((launch) => ("spec" in launch ? launch.spec : assert.fail()));
  assert.equal(compiled, 2);
  assert.equal(one?.annotations?.mine, "1");
  assert.ok(one?.linux !== undefined && !("seccomp" in one.linux));
  const path = one.annotations?.[filterAnnotation] ?? assert.fail();
  assert.equal(again?.annotations?.[filterAnnotation], path);
  assert.notEqual(other?.annotations?.[filterAnnotation], path);
  assert.equal(readFileSync(path, "utf8"), '{"defaultAction":"A","flags":[]}');
  const flagged = withProfile("A", ["SECCOMP_FILTER_FLAG_LOG"]);
  assert.deepEqual(await driver.plan(call, bundle(flagged)), { kind: "oci", spec: flagged });
});

test("a profile that does not compile fails each time it is asked for", async (test) => {
  const compiler = { compileSeccomp: () => Promise.reject(new Error("no such action")) };
  const driver = new NativeDriver(new FilterStore(compiler, temporaryDirectory(test)));
  const spec = { ...plain, linux: { seccomp: {} } };
  await assert.rejects(driver.plan(call, bundle(spec)), /no such action/);
  await assert.rejects(driver.plan(call, bundle(spec)), /no such action/);
});

test("the probe says what is missing and what to do", () => {
  assert.deepEqual(probe("hybrid", true), { usable: true });
  const refused = probe("v2", false);
  assert.ok(!refused.usable && refused.hint !== null);
});
