/** Clients that leave: their reader is gone, a signal ends them, or the engine does not answer. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { needsRoot, suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { binary, type Engine, engine, until } from "../src/engine.ts";

const test = suite("clients", { timeout: 120_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");

/** A reader that takes the first bytes and exits, like `head -1`. */
function headed(own: Engine, argv: readonly string[]): Promise<{ readonly code: number | null; readonly head: string }> {
  const child = spawn(binary, argv as string[], { env: own.environment, stdio: ["ignore", "pipe", "inherit"] });
  let head = "";
  child.stdout.setEncoding("utf8").once("data", (text: string) => {
    head = text.split("\n")[0] ?? "";
    child.stdout.destroy();
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
  return new Promise((resolve) =>
    child.on("exit", (code) => {
      clearTimeout(timer);
      resolve({ code, head });
    }),
  );
}

const exited = (child: ChildProcess): Promise<number | null> => new Promise((resolve) => child.on("exit", resolve));

test.skipIf(reason, "a command whose reader is gone ends as docker's, by what a shell calls 141", async (t) => {
  const own = await engine(t);
  await own.ok(["run", "-d", "--name", "box", "--net", "none", "host:/", "sh", "-c", "while sleep 0.1; do echo line; done"]);
  assert.equal(await headed(own, ["exec", "box", "yes"]), { code: 141, head: "y" });
  assert.equal(await headed(own, ["run", "--name", "chatty", "--net", "none", "host:/", "yes"]), { code: 141, head: "y" });
  assert.equal(await headed(own, ["logs", "-f", "box"]), { code: 141, head: "line" });
  assert.is((await headed(own, ["stats", "box"])).code, 141);
  // No further event occurs by itself.
  const events = headed(own, ["events", "--since", "10m"]);
  assert.is((await events).code, 141);
  // The containers of these clients go on, and their end is recorded.
  assert.is((await own.inspect("chatty")).State.Status, "running");
  assert.is((await own.run(["rm", "-f", "chatty"])).code, 0);
});

test.skipIf(reason, "a client without an open stream still gets the exit code", async (t) => {
  const own = await engine(t);
  const child = spawn("sh", ["-c", `exec ${binary} run --rm -a stdin -i --net none host:/ sh -c 'exec 0<&-; exit 7'`], {
    env: own.environment,
    stdio: ["pipe", "ignore", "inherit"],
  });
  assert.is(await exited(child), 7);
});

test.skipIf(reason, "a signal ends a client that waits, and three end any, whatever the engine does", async (t) => {
  const own = await engine(t);
  await own.ok(["run", "-d", "--name", "box", "--net", "none", "host:/", "sleep", "1000"]);
  const deaf = "trap '' INT TERM; echo deaf; while :; do sleep 1; done";
  const attached = own.client(["run", "--name", "deaf", "--net", "none", "host:/", "sh", "-c", deaf]);
  let said = "";
  let complaint = "";
  attached.process.stdout?.on("data", (text: string) => (said += text));
  attached.process.stderr?.on("data", (text: string) => (complaint += text));
  await until(() => said.includes("deaf"), "the container to ignore signals");
  const waiting = own.client(["wait", "box"]);
  const running = own.client(["exec", "box", "sh", "-c", "echo here; sleep 1000"]);
  let output = "";
  running.process.stdout?.on("data", (text: string) => (output += text));
  await until(() => output.includes("here"), "the exec to run");
  const daemon = own.daemonPid();
  process.kill(daemon, "SIGSTOP");
  try {
    // The shim also has their descriptors until the daemon is back, so the test waits for the end of the process itself.
    running.process.kill("SIGINT");
    assert.is(await exited(running.process), 130);
    waiting.process.kill("SIGTERM");
    assert.is(await exited(waiting.process), 143);
    const leaving = exited(attached.process);
    for (let count = 1; count <= 3; count += 1) {
      attached.process.kill("SIGINT");
      // Equal signals that are pending together are merged.
      await until(() => !pending(attached.process.pid ?? 0, 2), "the client to take the signal");
    }
    assert.is(await leaving, 1);
    await until(() => complaint !== "", "the client's last words");
    assert.match(complaint, /got 3 SIGTERM\/SIGINTs, forcefully exiting/);
  } finally {
    process.kill(daemon, "SIGCONT");
  }
  assert.is((await own.inspect("deaf")).State.Status, "running");
});

test.skipIf(reason, "a signal ends each command that passes none on, while the daemon does not answer", async (t) => {
  const own = await engine(t);
  const talks = ["host:/", "sh", "-c", "while :; do echo line; sleep 0.1; done"];
  for (const [name, ...flags] of [["box"], ["tty", "-t"]])
    await own.ok(["run", "-d", "--name", name ?? "", ...flags, "--net", "none", ...talks]);
  for (const name of ["first", "second", "third"]) await own.ok(["create", "--name", name, "--net", "none", ...talks]);
  const begin = async (argv: readonly string[]): Promise<ChildProcess> => {
    const { process: child } = own.client(argv);
    let said = "";
    child.stdout?.on("data", (text: string) => (said += text));
    await until(() => said !== "", `${argv.join(" ")} to say something`);
    return child;
  };
  const waiting: ChildProcess[] = [];
  for (const argv of [
    ["attach", "--sig-proxy=false", "box"],
    // With a terminal, input is passed on but signals are not.
    ["attach", "tty"],
    ["start", "-a", "--sig-proxy=false", "first"],
    ["run", "--sig-proxy=false", "--name", "mine", "--net", "none", ...talks],
    ["exec", "box", "sh", "-c", "echo line; sleep 1000"],
    ["logs", "-f", "box"],
    ["stats", "box"],
    ["events", "--since", "10m"],
  ])
    waiting.push(await begin(argv));
  // The user's own process runs these commands: by the time it waits it is another program.
  for (const argv of [["load"], ["cp", "-", "box:/tmp"], ["import", "-"]]) {
    const child = spawn(binary, argv, { env: own.environment, stdio: ["pipe", "ignore", "ignore"] });
    child.stdin?.on("error", () => {});
    await until(() => readlinkSync(`/proc/${child.pid}/exe`).endsWith("/node"), `${argv.join(" ")} to go on in Node`);
    waiting.push(child);
  }
  const proxied = [await begin(["start", "-a", "second"]), await begin(["attach", "box"])];
  const cidfile = join(own.state, "cid");
  proxied.push(await begin(["run", "--cidfile", cidfile, "--name", "portable", "--net", "none", ...talks]));
  const daemon = own.daemonPid();
  process.kill(daemon, "SIGSTOP");
  try {
    for (const argv of [
      ["pull", "nosuch.invalid/image"],
      ["ps"],
      ["start", "-a", "third"],
      ["rm", "-f", "third"],
      ["network", "rm", "lan"],
    ])
      waiting.push(own.client(argv).process);
    for (const [at, child] of waiting.entries()) {
      const [signal, code] = at % 2 === 0 ? (["SIGINT", 130] as const) : (["SIGTERM", 143] as const);
      const ended = endedBy(child);
      child.kill(signal);
      const expected: readonly unknown[] = [code, signal];
      assert.ok(expected.includes(await ended), child.spawnargs.join(" "));
    }
    for (const child of proxied) {
      const ended = endedBy(child);
      for (let count = 1; count <= 3 && child.exitCode === null; count += 1) {
        child.kill("SIGTERM");
        // Equal signals that are pending together are merged.
        await until(() => !pending(child.pid ?? 0, 15), "the client to take the signal");
      }
      assert.is(await ended, 1, child.spawnargs.join(" "));
    }
  } finally {
    process.kill(daemon, "SIGCONT");
  }
  for (const name of ["box", "tty", "first", "second", "mine", "portable"])
    assert.ok(["running", "exited"].includes((await own.inspect(name)).State.Status), name);
});

/** The exit code, or the signal that ended the process. */
const endedBy = (child: ChildProcess): Promise<number | string | null> =>
  new Promise((resolve) => child.on("exit", (code, signal) => resolve(code ?? signal)));

/** Whether a signal is pending for a process. */
function pending(pid: number, signal: number): boolean {
  try {
    const mask = /^ShdPnd:\s+(\w+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "0";
    return (BigInt(`0x${mask}`) & (1n << BigInt(signal - 1))) !== 0n;
  } catch {
    return false;
  }
}

test.skipIf(reason, "events: past ones up to an end, and all that Docker reports", async (t) => {
  const own = await engine(t);
  await own.ok(["run", "-d", "--name", "box", "--net", "none", "host:/", "sleep", "1000"]);
  await own.ok(["exec", "box", "true"]);
  await own.ok(["top", "box"]);
  await own.ok(["update", "--restart", "no", "box"]);
  await own.ok(["container", "prune", "-f"]);
  await own.ok(["image", "prune", "-f"]);
  const events = (await own.ok(["events", "--until", "0s", "--format", "{{.Type}} {{.Action}}"])).split("\n");
  for (const line of ["container exec_create: true ", "container top", "container update", "container prune", "image prune"])
    assert.ok(events.includes(line), `${line} is missing in\n${events.join("\n")}`);
  assert.not.ok(events.includes("container attach"), "an exec attaches to nothing");
  const refused = await own.run(["events", "--since", "0s", "--until", "10m"]);
  assert.is(refused.code, 1);
  // As docker's client, ours attaches before it starts.
  await own.ok(["run", "--name", "front", "--net", "none", "host:/", "true"]);
  await own.ok(["start", "-a", "front"]);
  await own.run(["run", "--name", "missing", "--net", "none", "host:/", "no-such-command"]);
  const life = async (name: string): Promise<string> =>
    await own.ok(["events", "--until", "0s", "-f", `container=${name}`, "-f", "type=container", "--format", "{{.Action}}"]);
  assert.is(await life("front"), "create\nattach\nstart\ndie\nattach\nstart\ndie\n");
  assert.is(await life("missing"), "create\nattach\n");
});

test.skipIf(reason, "aborted requests leave nothing behind", async (t) => {
  const own = await engine(t);
  await own.ok(["run", "-d", "--name", "box", "--net", "none", "host:/", "sleep", "1000"]);
  const ask = (method: string, path: string): Promise<void> =>
    new Promise((resolve) => {
      const asked = request({ socketPath: own.socket, method, path, agent: false }, (response) => {
        response.on("error", () => {}).destroy();
        resolve();
      });
      asked.on("error", () => resolve()).end();
    });
  const descriptors = (): number => readdirSync(`/proc/${own.daemonPid()}/fd`).length;
  const round = async (count: number): Promise<void> => {
    for (let at = 0; at < count; at += 20)
      await Promise.all(
        Array.from({ length: 20 }, (_, one) =>
          one % 2 === 0
            ? ask("POST", "/containers/box/wait")
            : ask("GET", one % 4 === 1 ? "/events" : "/containers/box/logs?follow=1&stdout=1"),
        ),
      );
  };
  await round(20);
  const [daemon, before] = [own.daemonPid(), descriptors()];
  await round(200);
  await until(() => descriptors() <= before, "connections and watches to be closed");
  assert.is(own.daemonPid(), daemon, "no answer that nobody took ends the daemon");
});
