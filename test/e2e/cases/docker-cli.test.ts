/** Docker's own command line against the engine, unchanged. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { needsRoot, suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { dockerClient as client, docker } from "../src/docker.ts";
import { binary, engine, type Ran, until } from "../src/engine.ts";

const test = suite("docker's own client", { timeout: 120_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ?? docker.reason;

test.skipIf(reason, "run in the foreground: streams apart, input, exit codes", async (t) => {
  const own = await engine(t);
  // Docker can get an image only from a registry. tsbox makes one of this machine, under a name that docker accepts.
  await own.ok(["create", "--name", "maker", "--net", "none", "host:/", "true"]);
  await own.ok(["tag", "host:/", "machine:1"]);
  const run = (...words: readonly string[]): readonly string[] => ["run", "--rm", "--net", "none", "machine:1", ...words];
  assert.equal(await client(own, run("sh", "-c", "echo out; echo err >&2")), { code: 0, stdout: "out\n", stderr: "err\n" });
  assert.is((await client(own, run("sh", "-c", "exit 6"))).code, 6);
  assert.is((await client(own, run("no-such-command"))).code, 127);
  assert.is((await client(own, ["run", "-i", ...run("cat").slice(1)], "through\n")).stdout, "through\n");
  for (let at = 0; at < 10; at += 1) assert.is((await client(own, run("echo", String(at)))).stdout, `${at}\n`);
});

test.skipIf(reason, "a container's life: run -d, ps, logs, inspect, stop, wait, start again, rm", async (t) => {
  const own = await engine(t);
  await own.ok(["create", "--name", "maker", "--net", "none", "host:/", "true"]);
  await own.ok(["tag", "host:/", "machine:1"]);
  const started = await client(own, [
    "run",
    "-d",
    "--name",
    "life",
    "--net",
    "none",
    "machine:1",
    "sh",
    "-c",
    "trap 'exit 4' TERM; echo up; while :; do sleep 0.05; done",
  ]);
  assert.match(started.stdout, /^[0-9a-f]{64}\n$/, started.stderr);
  assert.match((await client(own, ["ps"])).stdout, /machine:1 .*life/);
  await until(async () => (await client(own, ["logs", "life"])).stdout === "up\n", "its line in the log");
  assert.is((await client(own, ["inspect", "-f", "{{.State.Status}} {{.Config.Image}}", "life"])).stdout, "running machine:1\n");
  const waiting = client(own, ["wait", "life"]);
  assert.is((await client(own, ["stop", "life"])).stdout, "life\n");
  assert.is((await waiting).stdout, "4\n");
  assert.is((await client(own, ["start", "life"])).stdout, "life\n");
  await until(async () => (await client(own, ["logs", "life"])).stdout === "up\nup\n", "the second start's line");
  assert.is((await client(own, ["rm", "-f", "life"])).stdout, "life\n");
  const gone = await client(own, ["inspect", "life"]);
  assert.is(gone.code, 1);
  assert.match((await client(own, ["version"])).stdout, /tsbox/);
});

test.skipIf(reason, "exec: streams, input, exit codes, what can't be run, a terminal, detached", async (t) => {
  const own = await engine(t);
  await own.ok(["run", "-d", "--name", "box", "--net", "none", "host:/", "sleep", "1000"]);
  const exec = (...words: readonly string[]): Promise<Ran> => client(own, ["exec", ...words]);
  assert.equal(await exec("box", "sh", "-c", "echo out; echo err >&2; exit 6"), { code: 6, stdout: "out\n", stderr: "err\n" });
  assert.is((await client(own, ["exec", "-i", "box", "cat"], "through\n")).stdout, "through\n");
  assert.is((await exec("-u", "nobody", "-w", "/tmp", "-e", "A=b", "box", "sh", "-c", "id -un; pwd; echo $A")).stdout, "nobody\n/tmp\nb\n");
  const missing = await exec("box", "no-such-command");
  assert.is(missing.code, 127);
  assert.match(missing.stdout, /exec: "no-such-command": executable file not found in \$PATH/);
  assert.is((await exec("box", "/etc/passwd")).code, 126);
  const detached = await exec("-d", "box", "sh", "-c", "echo there > /detached");
  assert.is(detached.code, 0);
  await until(async () => (await exec("box", "cat", "/detached")).stdout === "there\n", "the detached command");
  const terminal = spawn(
    "script",
    ["-qefc", `stty rows 33 cols 99; exec ${docker.path} exec -it box sh -c 'tty; read go; stty size; exit 5'`, "/dev/null"],
    {
      env: { PATH: process.env.PATH ?? "", HOME: own.state, DOCKER_HOST: `unix://${own.socket}`, TERM: "xterm", SHELL: "/bin/sh" },
    },
  );
  let shown = "";
  terminal.stdout.setEncoding("utf8").on("data", (text: string) => (shown += text));
  const ended = new Promise((resolve) => terminal.on("close", resolve));
  await until(() => shown.includes("/dev/pts/"), "a terminal inside");
  terminal.stdin.write("\r");
  assert.is(await ended, 5, shown);
  assert.match(shown, /33 99\r\n/);
});
