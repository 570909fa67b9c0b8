import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Case, suite, temporaryDirectory } from "@tsbox/harness";
import {
  type Bundle,
  type CommandResult,
  type ContainerId,
  createCall,
  type ExecId,
  isTsboxError,
  type OciSpec,
  silentLog,
} from "@tsbox/kernel";
import * as assert from "uvu/assert";
import { OciRuntimeDriver } from "../src/driver.ts";
import plugin from "../src/index.ts";
import { CommandLine } from "../src/internal/command-line.ts";
import { reported } from "../src/internal/report.ts";
import { refuseNewer } from "../src/internal/spec-versions.ts";
import { probe, versionOf } from "../src/probe.ts";
import { SandboxedDriver, statsOf } from "../src/sandboxed.ts";

const test = suite("exec-oci");
const call = createCall(silentLog);
const id = "a".repeat(64) as ContainerId;
const plain: OciSpec = {
  ociVersion: "1.1.0",
  process: { args: ["true"], cwd: "/" },
  linux: { namespaces: [{ type: "pid" }], cgroupsPath: "/some/group" },
};
const saying = (stdout: string): { run: () => Promise<CommandResult> } => ({
  run: async () => ({ exitCode: 0, stdout: Buffer.from(stdout), stderr: Buffer.from("") }),
});
const unsupported = (words: RegExp) => (error: unknown) => isTsboxError(error) && error.code === "Unsupported" && words.test(error.message);

function world(t: Case): {
  readonly driver: OciRuntimeDriver;
  readonly root: string;
  readonly ran: string[][];
  bundle(spec: OciSpec): Bundle;
} {
  const directory = temporaryDirectory(t);
  const root = join(directory, "state");
  const ran: string[][] = [];
  const host = {
    run: async (_call: unknown, { argv }: { readonly argv: readonly string[] }): Promise<CommandResult> => {
      ran.push([...argv]);
      return { exitCode: argv.includes("b".repeat(64)) ? 1 : 0, stdout: Buffer.from(""), stderr: Buffer.from("it is busy\n") };
    },
  };
  const settings = { path: "/opt/runc", arguments: ["--debug"] };
  const driver = new OciRuntimeDriver(new CommandLine(host, settings, root), { name: "runc", spec: "1.0.2" });
  return { driver, root, ran, bundle: (spec) => ({ id, directory: join(directory, "bundle"), spec, rootfs: [] }) };
}

test("a launch is create with the container's streams, then start, which waits for the networks", async (t) => {
  const { driver, bundle, root } = world(t);
  const launch = await driver.plan(call, bundle(plain));
  assert.ok(launch.kind === "command");
  assert.equal(
    launch.steps.map(({ argv, stdio, held }) => [argv.at(-2), argv.at(-1), stdio, held]),
    [
      [launch.pidFile, id, true, false],
      ["start", id, false, true],
    ],
  );
  assert.equal(launch.steps[0]?.argv.slice(0, 4), ["/opt/runc", "--root", root, "--log"]);
  assert.is(launch.cgroup, "/some/group");
  assert.is(launch.consoleSocket, null);
  const config = JSON.parse(readFileSync(join(launch.steps[0]?.workingDirectory ?? "", "config.json"), "utf8"));
  assert.is(config.root.path, launch.rootfs);
  assert.is(config.ociVersion, "1.0.2", "the spec's version is 1.1.0, the runtime knows 1.0.2");
});

test("with a terminal the runtime sends it to a socket, whose path is short", async (t) => {
  const { driver, bundle } = world(t);
  const launch = await driver.plan(call, bundle({ ...plain, process: { ...plain.process, terminal: true } }));
  assert.ok(launch.kind === "command");
  assert.ok(launch.steps[0]?.argv.join(" ").includes("--console-socket console.sock"));
  assert.is(launch.consoleSocket, join(launch.steps[0]?.workingDirectory ?? "", "console.sock"));
});

test("what an earlier start has left goes first; an end and a removal make the runtime forget, once", async (t) => {
  const { driver, bundle, root, ran } = world(t);
  await driver.delete(call, id);
  assert.equal(ran, []);
  mkdirSync(join(root, id), { recursive: true });
  const launch = await driver.plan(call, bundle(plain));
  assert.ok(launch.kind === "command");
  assert.equal(launch.steps[0]?.argv.slice(-3), ["delete", "--force", id]);
  await driver.ended(call, id);
  assert.equal(ran, [["/opt/runc", "--root", root, "--debug", "delete", "--force", id]]);
  const listed: string[] = [];
  mkdirSync(join(root, "not-an-id"));
  for await (const each of await driver.list()) listed.push(each);
  assert.equal(listed, [id]);
});

test("a runtime's entry may say more than the id", async (t) => {
  const { driver, bundle, root } = world(t);
  mkdirSync(root);
  writeFileSync(join(root, `${id}_sandbox:${id}.state`), "");
  writeFileSync(join(root, `${id}_sandbox:${id}.lock`), "");
  writeFileSync(join(root, `${id}f`), "");
  const listed: string[] = [];
  for await (const each of await driver.list()) listed.push(each);
  assert.equal(listed, [id]);
  const launch = await driver.plan(call, bundle(plain));
  assert.ok(launch.kind === "command" && launch.steps.length === 3);
});

test("a kernel of the container's own: its commands in place of the host's means, and no limit of processes", async (t) => {
  const directory = temporaryDirectory(t);
  const ran: string[][] = [];
  const stats = { type: "stats", data: { cpu: { usage: { total: 7 } }, memory: { usage: { usage: 8 } }, pids: { current: 9 } } };
  const host = {
    run: async (_call: unknown, { argv }: { readonly argv: readonly string[] }): Promise<CommandResult> => {
      ran.push(argv.slice(3));
      return { exitCode: 0, stdout: Buffer.from(JSON.stringify(stats)), stderr: Buffer.from("") };
    },
  };
  const line = new CommandLine(host, { path: "runsc", arguments: [] }, join(directory, "root"));
  const driver = new SandboxedDriver(line, { name: "runsc", spec: "1.0.2" });
  const spec = { ...plain, linux: { ...plain.linux, resources: { pids: { limit: 5 }, memory: { limit: 6 } } } };
  const launch = await driver.plan(call, { id, directory, spec, rootfs: [] });
  assert.ok(launch.kind === "command");
  const config = JSON.parse(readFileSync(join(launch.steps[0]?.workingDirectory ?? "", "config.json"), "utf8"));
  assert.equal(config.linux.resources, { memory: { limit: 6 } });
  await driver.kill(call, id, 15);
  await driver.kill(call, id, 9, { all: true });
  await driver.pause(call, id);
  await driver.resume(call, id);
  assert.equal(await driver.stats(call, id), { cpuNanoseconds: 7, memoryBytes: 8, pids: 9 });
  assert.equal(ran, [
    ["kill", id, "15"],
    ["kill", "--all", id, "9"],
    ["pause", id],
    ["resume", id],
    ["events", "--stats", id],
  ]);
  assert.throws(() => statsOf("nothing", "runsc"), /printed no statistics/);
  const exec = { id: "c".repeat(64) as ExecId, container: id, pid: 1, directory, process: { args: ["ls"], cwd: "/" } };
  const { steps, pidFile } = await driver.planExec(call, exec);
  assert.is(pidFile, null);
  assert.equal([steps.length, steps[0]?.argv.at(-1), steps[0]?.stdio], [1, id, true]);
  assert.equal(JSON.parse(readFileSync(steps[0]?.argv.at(-2) ?? "", "utf8")), exec.process);
});

test("a runtime that can't forget says why", async (t) => {
  const { driver, root } = world(t);
  const other = "b".repeat(64) as ContainerId;
  mkdirSync(join(root, other), { recursive: true });
  await driver.delete(call, other).then(
    () => assert.unreachable(),
    (error) => assert.match(String(error.message), /^runc delete exited with 1: it is busy$/),
  );
});

test("a field that the runtime does not know is refused by its name", () => {
  const refuse = (change: object): void => refuseNewer({ ...plain, ...change } as OciSpec, "1.0.2", "runc");
  refuse({ vm: null });
  const cases: readonly (readonly [object, RegExp])[] = [
    [{ linux: { timeOffsets: {} } }, /linux\.timeOffsets came with 1\.1\.0/],
    [{ linux: { resources: { cpu: { burst: 1 } } } }, /linux\.resources\.cpu\.burst/],
    [{ mounts: [{ destination: "/a" }, { destination: "/b", uidMappings: [] }] }, /mounts\[1\]\.uidMappings/],
    [{ linux: { newest: 1 } }, /linux\.newest is no field/],
    [{ toString: {} }, /toString is no field/],
    [{ annotations: { "io.tsbox.init": "true" } }, /an init process/],
  ];
  for (const [change, words] of cases) assert.throws(() => refuse(change), unsupported(words));
  refuseNewer({ ...plain, domainname: "x" }, "1.1.0", "crun");
});

test("the log of a failed start is the user's message", () => {
  const line = (level: string, msg: string): string => JSON.stringify({ level, msg });
  assert.is(reported(""), null);
  assert.is(reported(line("info", "all is well")), null);
  const cases = [
    ['runc create failed: exec: "x": executable file not found in $PATH', "CommandNotFound"],
    ['runc create failed: exec: "/x": stat /x: no such file or directory', "CommandNotFound"],
    // crun's.
    ["executable file `nosuch` not found in $PATH: No such file or directory", "CommandNotFound"],
    ["open executable: Permission denied", "NotExecutable"],
    ["open executable: Operation not permitted", "NotExecutable"],
    ["chdir `/etc/passwd`: Not a directory", "Internal"],
    ['runc create failed: exec: "/etc": permission denied', "NotExecutable"],
    ["no space left on device", "Internal"],
    ["mount /x: permission denied", "Internal"],
  ] as const;
  for (const [msg, code] of cases) {
    const log = `${line("warning", "first")}\n${line("error", msg)}\n{"level":"err`;
    assert.equal(reported(log), { code, message: msg });
  }
});

test("settings are checked, and name what is wrong", () => {
  assert.equal(plugin.parseConfig(undefined), { path: "runc", arguments: [] });
  assert.equal(plugin.parseConfig({ path: "/x/y", arguments: ["-a"] }), { path: "/x/y", arguments: ["-a"] });
  for (const wrong of [{ path: "" }, { path: "a/b" }, { path: 7 }, { arguments: "x" }, { arguments: [1] }, { paths: "x" }, []])
    assert.throws(
      () => plugin.parseConfig(wrong),
      (error: unknown) => isTsboxError(error) && error.code === "InvalidArgument",
    );
});

test("the probe reads the runtime's version, and says what a host lacks", async (t) => {
  assert.equal(await versionOf(call, saying("runc version 1.1.5+ds1\ncommit: x\nspec: 1.0.2-dev\ngo: go1.19\n"), "runc"), {
    name: "runc",
    spec: "1.0.2",
  });
  assert.equal(await versionOf(call, saying("something else\n"), "/opt/mine"), { name: "mine", spec: "1.0.0" });
  if (process.geteuid?.() !== 0) t.skip("needs root");
  const crun = await probe(call, { ...saying("crun version 1.8\nspec: 1.0.0\n"), cgroups: { layout: "hybrid" } }, "runc");
  assert.ok(!crun.usable && /cgroup v2/.test(crun.reason));
  assert.equal(await probe(call, { ...saying("runc version 1\n"), cgroups: { layout: "hybrid" } }, "runc"), { usable: true });
});

test("files of the bundle are not for other users", async (t) => {
  const { driver, bundle } = world(t);
  const asked = bundle(plain);
  mkdirSync(asked.directory, { recursive: true });
  chmodSync(asked.directory, 0o700);
  writeFileSync(join(asked.directory, "kept"), "");
  await driver.plan(call, asked);
  await driver.plan(call, asked);
  assert.ok(existsSync(join(asked.directory, "kept")));
});
