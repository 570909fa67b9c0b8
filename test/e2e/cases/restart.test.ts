/** Restart policies: which containers are restarted, when, how often, and after the death of which process. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Case, needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { docker, dockerClient } from "../src/docker.ts";
import { alive, binary, children, type Engine, engine, until } from "../src/engine.ts";

const test = suite("restart policies", { timeout: 180_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");

interface Counted {
  readonly directory: string;
  /** The number of starts. */
  starts(): number;
}

/** A container that records each start, and then runs the given script. */
async function counting(test: Case, own: Engine, name: string, policy: string, then: string): Promise<Counted> {
  const directory = temporaryDirectory(test);
  const file = join(directory, "starts");
  await own.ok([
    "run",
    "-d",
    "--name",
    name,
    "--net",
    "none",
    "--restart",
    policy,
    "-v",
    `${directory}:/d`,
    "host:/",
    "sh",
    "-c",
    `echo x >> /d/starts; ${then}`,
  ]);
  return { directory, starts: () => (existsSync(file) ? readFileSync(file, "utf8").split("\n").length - 1 : 0) };
}

const look = (own: Engine, name: string, template: string): Promise<string> =>
  own.ok(["inspect", "-f", template, name]).then((text) => text.trim());
const stateOf = (own: Engine, name: string): Promise<string> =>
  look(own, name, "{{.State.Status}} {{.State.Running}} {{.State.Restarting}} {{.State.ExitCode}}");

test.skipIf(reason, "always: it comes back whatever its code, and waits twice as long each time", async (t) => {
  const own = await engine(t);
  const zero = await counting(t, own, "zero", "always", "exit 0");
  await until(() => zero.starts() >= 4, "a fourth start");
  await until(async () => (await stateOf(own, "zero")) === "restarting true true 0", "the wait in between");
  assert.match(await own.ok(["ps"]), /Restarting \(0\) /);
  assert.ok(Number(await look(own, "zero", "{{.RestartCount}}")) >= 3);
  assert.is(await look(own, "zero", "{{.HostConfig.RestartPolicy.Name}}"), "always");
  const refused = await own.run(["rm", "zero"]);
  assert.match(
    refused.stderr,
    /^tsbox: cannot remove container "zero": container is (restarting|running): stop the container before removing or force remove\n$/,
  );
  assert.is(await own.ok(["stop", "zero"]), "zero\n");
  assert.match(await stateOf(own, "zero"), /^exited false false/);
  const before = zero.starts();
  await own.ok(["start", "zero"]);
  await until(() => zero.starts() > before + 1, "it to come back after it was started again");
  await own.ok(["rm", "-f", "zero"]);
  assert.match((await own.run(["inspect", "zero"])).stderr, /No such/);
});

test.skipIf(reason, "on-failure: so often and no more, and never after a zero", async (t) => {
  const own = await engine(t);
  const fails = await counting(t, own, "fails", "on-failure:2", "exit 3");
  const fine = await counting(t, own, "fine", "on-failure", "exit 0");
  await until(async () => (await stateOf(own, "fails")) === "exited false false 3", "it to be given up");
  assert.equal([fails.starts(), await look(own, "fails", "{{.RestartCount}}")], [3, "2"]);
  assert.equal([fine.starts(), await stateOf(own, "fine")], [1, "exited false false 0"]);
  await own.ok(["start", "fails"]);
  await until(() => fails.starts() === 6, "the count to begin anew with a start by hand");
});

test.skipIf(reason, "what the user kills or stops stays down, what dies by itself does not", async (t) => {
  const own = await engine(t);
  const one = await counting(t, own, "killed", "always", "exec sleep 1000");
  await until(() => one.starts() === 1, "its start");
  const { State } = await own.inspect("killed");
  process.kill(State.Pid, "SIGKILL");
  await until(() => one.starts() === 2, "it to come back");
  await until(async () => (await own.inspect("killed")).State.Running, "it to run");
  await own.ok(["kill", "killed"]);
  await until(async () => (await stateOf(own, "killed")) === "exited false false 137", "its end");
  assert.is(one.starts(), 2);
  const loops = await counting(t, own, "loops", "unless-stopped", "exit 1");
  await until(() => loops.starts() >= 4, "a few starts");
  await until(async () => (await stateOf(own, "loops")).startsWith("restarting"), "a wait");
  const waiting = own.client(["wait", "loops"]).ended;
  assert.is((await own.run(["exec", "loops", "true"])).code === 0, false);
  await own.ok(["kill", "loops"]);
  assert.is((await waiting).stdout, "1\n");
  assert.match(await stateOf(own, "loops"), /^exited/);
});

test.skipIf(
  reason,
  "a daemon that is killed in the middle of a wait, and one that was dead when it ended: it comes back all the same",
  async (t) => {
    const own = await engine(t);
    const loops = await counting(t, own, "loops", "always", "exit 1");
    const sleeps = await counting(t, own, "sleeps", "unless-stopped", "exec sleep 1000");
    const stopped = await counting(t, own, "stopped", "always", "exec sleep 1000");
    await own.ok(["stop", "-t", "0", "stopped"]);
    await until(() => loops.starts() >= 5, "the waits to grow");
    await until(async () => (await stateOf(own, "loops")).startsWith("restarting"), "a wait");
    const { State } = await own.inspect("sleeps");
    const daemon = own.daemonPid();
    const [before, launcher] = [loops.starts(), own.launcherPid];
    // The launcher is stopped, so that there is no other daemon when the container ends.
    process.kill(launcher, "SIGSTOP");
    process.kill(daemon, "SIGKILL");
    process.kill(State.Pid, "SIGKILL");
    await until(() => !alive(daemon) && !alive(State.Pid), "both to die");
    process.kill(launcher, "SIGCONT");
    await until(() => loops.starts() > before, "the wait to end in a start");
    await until(() => sleeps.starts() === 2, "what had ended meanwhile to come back");
    assert.ok(Number(await look(own, "loops", "{{.RestartCount}}")) >= before, "the count goes on");
    await own.killLauncher();
    const later = loops.starts();
    await own.start();
    await until(() => loops.starts() > later, "the next engine to go on");
    assert.equal([stopped.starts(), sleeps.starts()], [1, 2]);
  },
);

test.skipIf(reason, "a restart of the host: those that are to run run again", async (t) => {
  const own = await engine(t);
  const kept: Record<string, Counted> = {};
  for (const policy of ["always", "unless-stopped", "on-failure", "no"])
    kept[policy] = await counting(t, own, policy, policy, "exec sleep 1000");
  const left = await counting(t, own, "left", "unless-stopped", "exec sleep 1000");
  await own.ok(["create", "--name", "never", "--net", "none", "--restart", "always", "host:/", "sleep", "1000"]);
  await own.ok(["stop", "-t", "0", "left"]);
  await powerCut(own);
  await own.start();
  for (const policy of ["always", "unless-stopped", "on-failure"]) {
    await until(() => kept[policy]?.starts() === 2, `${policy} to run again`);
    await until(async () => (await stateOf(own, policy)) === "running true false 0", `${policy} to be running`);
  }
  assert.match(await stateOf(own, "left"), /^exited/);
  assert.match(await stateOf(own, "never"), /^created/);
  assert.equal([kept.no?.starts(), left.starts()], [1, 1]);
});

test.skipIf(reason, "after a restart of the host the order of starts does not matter: what needs another one waits for it", async (t) => {
  const own = await engine(t);
  const first = await counting(t, own, "first", "always", "exec sleep 1000");
  const directory = temporaryDirectory(t);
  const mounted = ["--mount", `type=bind,src=${directory}/late,dst=/late`];
  mkdirSync(join(directory, "late"));
  await own.ok(["run", "-d", "--name", "inside", "--net", "container:first", "--restart", "always", "host:/", "sleep", "1000"]);
  await own.ok(["run", "-d", "--name", "late", "--net", "none", "--restart", "unless-stopped", ...mounted, "host:/", "sleep", "1000"]);
  await powerCut(own);
  rmSync(join(directory, "late"), { recursive: true });
  await own.start();
  await until(() => first.starts() === 2, "the first to run");
  await until(async () => (await stateOf(own, "inside")).startsWith("running"), "who is in its network to run");
  await until(
    async () => (await look(own, "late", "{{.State.Error}}")).includes("bind source path does not exist"),
    "what it lacks to be told",
  );
  assert.match(await stateOf(own, "late"), /^restarting true true 128$/);
  mkdirSync(join(directory, "late"));
  await until(async () => (await stateOf(own, "late")).startsWith("running"), "it to run when its directory is there");
  assert.is(await look(own, "late", "{{.State.Error}}"), "");
});

test.skipIf(reason, "a restart of the host: a container that ran counts as ended, however it was started", async (t) => {
  const own = await engine(t);
  const sleeping = ["--net", "none", "host:/", "sleep", "1000"];
  await own.ok(["run", "-d", "--name", "run", ...sleeping]);
  await own.ok(["create", "--name", "started", ...sleeping]);
  await own.ok(["start", "started"]);
  await own.ok(["run", "--name", "again", "--net", "none", "host:/", "sh", "-c", "[ ! -e /x ] || exec sleep 1000; touch /x"]);
  await own.ok(["start", "again"]);
  await own.ok(["create", "--name", "never", ...sleeping]);
  // Data that is written after an answer is on disk before the engine ends.
  const lost = (await own.ok(["run", "-d", "--name", "lost", ...sleeping])).trim();
  await powerCut(own, () => own.stop());
  // The state of a container whose creation was not acknowledged yet.
  rmSync(join(own.root, "storage-overlay", "active", `container-${lost}`), { recursive: true });
  await own.start();
  assert.is((await own.ok(["ps", "-a", "--format", "{{.Names}}"])).includes("lost"), false);
  for (const name of ["run", "started", "again"]) assert.is(await stateOf(own, name), "exited false false 255", name);
  assert.is(await stateOf(own, "never"), "created false false 0");
  assert.match(await look(own, "run", "{{.State.StartedAt}}"), /^20/);
});

/** No process runs any more and tmpfs is empty, as after a restart of the host. */
async function powerCut(own: Engine, end: () => Promise<unknown> = () => own.killLauncher()): Promise<void> {
  const shims = children(own.launcherPid).filter((pid) => pid !== own.daemonPid());
  const inside = shims.flatMap((pid) => children(pid));
  await end();
  for (const pid of [...shims, ...inside]) if (alive(pid)) process.kill(pid, "SIGKILL");
  await until(() => [...shims, ...inside].every((pid) => !alive(pid)), "everything to die");
  for (const name of readdirSync(own.state)) rmSync(join(own.state, name), { recursive: true, force: true });
}

test.skipIf(reason, "contradictory flags and invalid policies are refused with Docker's messages", async (t) => {
  const own = await engine(t);
  for (const [flags, words] of [
    [["--rm", "--restart", "always"], /conflicting options: cannot specify both --restart and --rm/],
    [["--restart", "sometimes"], /invalid restart policy: unknown policy 'sometimes'; use one of/],
    [["--restart", "always:3"], /maximum retry count can only be used with 'on-failure'/],
    [["--restart", "on-failure:-1"], /maximum retry count cannot be negative/],
    [["--restart", "on-failure:many"], /maximum retry count must be an integer/],
    [["--restart", ":3"], /no policy provided before colon/],
  ] as const) {
    const ran = await own.run(["run", ...flags, "--net", "none", "host:/", "true"]);
    assert.is(ran.code, 125, flags.join(" "));
    assert.match(ran.stderr, words);
  }
  const failed = await own.run(["run", "-d", "--name", "wrong", "--restart", "always", "--net", "none", "host:/", "no-such-command"]);
  assert.is(failed.code, 127);
  assert.match(await stateOf(own, "wrong"), /^created false false/, "a start that fails is the user's to repeat");
});

test.skipIf(reason ?? docker.reason, "docker's own client: run --restart, ps, inspect, stop", async (t) => {
  const own = await engine(t);
  await own.ok(["create", "--name", "maker", "--net", "none", "host:/", "true"]);
  await own.ok(["tag", "host:/", "machine:1"]);
  const started = await dockerClient(own, [
    "run",
    "-d",
    "--restart",
    "on-failure:5",
    "--name",
    "again",
    "--net",
    "none",
    "machine:1",
    "sh",
    "-c",
    "exit 9",
  ]);
  assert.is(started.code, 0, started.stderr);
  await until(async () => (await dockerClient(own, ["inspect", "-f", "{{.RestartCount}}", "again"])).stdout === "5\n", "all five");
  await until(async () => (await dockerClient(own, ["ps", "-a", "--format", "{{.State}}"])).stdout.startsWith("exited"), "the end");
  const both = await dockerClient(own, ["run", "--rm", "--restart", "always", "machine:1", "true"]);
  assert.match(both.stderr, /conflicting options/);
});
