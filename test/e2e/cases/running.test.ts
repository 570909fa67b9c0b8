/** Queries and changes of a running container: top, stats, update, port, pause, signals, and out-of-memory events. */
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { needsRoot, suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { binary, type Engine, engine, type Ran, until } from "../src/engine.ts";

const test = suite("a running container", { timeout: 120_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");
const docker = ["/usr/local/bin/docker", "/usr/bin/docker"].find(existsSync) ?? "";
const dockerReason = reason ?? (docker === "" ? "no docker client is installed (scripts/packages installs one)" : null);

function dockerCli(own: Engine, argv: readonly string[]): Promise<Ran> {
  const child = spawn(docker, argv as string[], {
    env: { PATH: process.env.PATH ?? "", HOME: own.state, DOCKER_HOST: `unix://${own.socket}` },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  return new Promise((resolve) => child.on("close", (code) => resolve({ code: code ?? 1, stdout, stderr })));
}

/** A file of the container's cgroup, in any controller and hierarchy. */
async function limit(own: Engine, names: readonly string[]): Promise<string> {
  const { State } = await own.inspect("box");
  for (const line of readFileSync(`/proc/${State.Pid}/cgroup`, "utf8").trim().split("\n")) {
    const [, controllers = "", path = ""] = line.split(":");
    for (const name of names)
      for (const mount of [controllers, "unified", ""]) {
        const file = `/sys/fs/cgroup/${mount}${path}/${name}`;
        if (existsSync(file)) return readFileSync(file, "utf8").trim();
      }
  }
  throw new Error(`no file ${names.join(" or ")} of the container's cgroup`);
}

test.skipIf(reason, "top shows the container's processes alone, with ps's own options", async (t) => {
  const own = await engine(t);
  await own.ok(["run", "-d", "--name", "box", "--net", "none", "host:/", "sh", "-c", "sleep 1001 & exec sleep 1002"]);
  await until(async () => (await own.ok(["top", "box"])).trim().split("\n").length === 3, "both processes");
  const { State } = await own.inspect("box");
  const [head = "", ...rows] = (await own.ok(["top", "box"])).trimEnd().split("\n");
  assert.match(head, /^UID +PID +PPID +C +STIME +TTY +TIME +CMD$/);
  assert.is(rows.length, 2);
  assert.ok(rows.some((row) => row.includes(` ${State.Pid} `) && row.endsWith("sleep 1002")));
  assert.match(await own.ok(["top", "box", "-o", "pid,comm"]), /^PID +COMMAND\n\d+ +sleep\n\d+ +sleep\n$/);
  const renamed = await own.run(["top", "box", "-eo", "ppid=PID"]);
  assert.equal([renamed.code, renamed.stderr], [1, 'tsbox: specifying "ppid=PID" is not allowed\n']);
  assert.match((await own.run(["top", "box", "-o", "comm"])).stderr, /Couldn't find PID field in ps output/);
  await own.ok(["kill", "box"]);
  await own.ok(["wait", "box"]);
  assert.match((await own.run(["top", "box"])).stderr, /^tsbox: container [0-9a-f]{64} is not running\n$/);
});

test.skipIf(reason, "stats: resource use, once and as a stream, for named, running and all containers", async (t) => {
  const own = await engine(t);
  await own.ok(["run", "-d", "--name", "box", "-m", "64m", "host:/", "sh", "-c", "while :; do :; done"]);
  await own.ok(["create", "--name", "other", "--net", "none", "host:/", "true"]);
  const [head = "", row = "", ...more] = (await own.ok(["stats", "--no-stream"])).trimEnd().split("\n");
  assert.match(head, /^CONTAINER ID +NAME +CPU % +MEM USAGE \/ LIMIT +MEM % +NET I\/O +BLOCK I\/O +PIDS$/);
  assert.match(row, /^[0-9a-f]{12} +box +\d+\.\d\d% +[\d.]+[KM]iB \/ 64MiB +\d+\.\d\d% +[\d.]+k?M?B \/ [\d.]+k?M?B +\S+ \/ \S+ +1$/);
  assert.ok(Number(/(\d+\.\d\d)%/.exec(row)?.[1]) > 1, row);
  assert.equal(more, []);
  assert.match(await own.ok(["stats", "--no-stream", "-a", "--format", "{{.Name}} {{.PIDs}}"]), /^(other 0\nbox 1|box 1\nother 0)\n$/);
  const listed = JSON.parse(await own.ok(["stats", "--no-stream", "--no-trunc", "--format", "json", "box"])) as Record<string, string>;
  assert.equal([listed.Name, listed.ID?.length, listed.Container], ["box", 64, "box"]);
  assert.equal((await own.run(["stats", "--no-stream", "nobody"])).stderr, "tsbox: No such container: nobody\n");
  const stream = own.client(["stats", "--format", "{{.Name}} {{.CPUPerc}}"]);
  let shown = "";
  stream.process.stdout?.on("data", (text: string) => (shown += text));
  await until(() => (shown.match(/box [1-9]\d*\.\d\d%/g) ?? []).length >= 2, "two samples");
  stream.process.kill("SIGINT");
  assert.is((await stream.ended).code, 130);
});

test.skipIf(reason, "update changes the kernel's limits while it runs, and the record", async (t) => {
  const own = await engine(t);
  await own.ok(["run", "-d", "--name", "box", "--net", "none", "-m", "64m", "host:/", "sleep", "1000"]);
  const flags = [
    "-m",
    "128m",
    "--memory-swap",
    "256m",
    "--memory-reservation",
    "32m",
    "--cpus",
    "0.5",
    "--pids-limit",
    "77",
    "--cpu-shares",
    "512",
  ];
  assert.is(await own.ok(["update", ...flags, "--restart", "on-failure:3", "box"]), "box\n");
  assert.is(await limit(own, ["memory.limit_in_bytes", "memory.max"]), String(128 << 20));
  assert.is(await limit(own, ["pids.max"]), "77");
  const quota = await limit(own, ["cpu.cfs_quota_us", "cpu.max"]);
  assert.ok(["50000", "50000 100000"].includes(quota), quota);
  const shown =
    "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}} {{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}";
  assert.is(await own.ok(["inspect", "-f", shown, "box"]), `${128 << 20} 500000000 77 on-failure 3\n`);
  const small = await own.run(["update", "-m", "1g", "box"]);
  assert.match(small.stderr, /Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time/);
  assert.match(
    (await own.run(["update", "--cpu-quota", "20000", "box"])).stderr,
    /CPU Quota cannot be updated as NanoCPUs has already been set/,
  );
  assert.is((await own.run(["update", "box"])).stderr, "tsbox: you must provide one or more flags when using this command\n");
  await own.ok(["pause", "box"]);
  await own.ok(["update", "--pids-limit", "-1", "box"]);
  assert.is(await limit(own, ["pids.max"]), "max");
  await own.ok(["kill", "box"]);
  await own.ok(["wait", "box"]);
  await own.ok(["update", "-m", "64m", "--memory-swap", "64m", "box"]);
  await own.ok(["start", "box"]);
  assert.is(await limit(own, ["memory.limit_in_bytes", "memory.max"]), String(64 << 20));
});

test.skipIf(reason, "out of memory: reported at once and in the record, whether the container ends or not", async (t) => {
  const own = await engine(t);
  const events = own.client(["events", "--filter", "event=oom", "--format", "{{.Action}} {{.Actor.Attributes.name}}"]);
  t.cleanup(() => void events.process.kill("SIGKILL"));
  let output = "";
  events.process.stdout?.on("data", (text: string) => (output += text));
  const hungry = ["host:/", "sh", "-c", "tail /dev/zero; echo survived; sleep 1000"];
  // Listen before the container runs.
  await own.ok(["run", "-d", "--name", "box", "--net", "none", "-m", "32m", ...hungry]);
  await until(async () => (await own.run(["logs", "box"])).stdout === "survived\n", "the kill");
  await until(() => output.includes("oom box\n"), "the event");
  assert.is((await own.inspect("box")).State.Running, true);
  await own.ok(["kill", "box"]);
  await own.ok(["wait", "box"]);
  assert.is((await own.inspect("box")).State.OOMKilled, true);
  const ended = await own.run(["run", "--name", "other", "--net", "none", "-m", "32m", "host:/", "tail", "/dev/zero"]);
  assert.is(ended.code, 137);
  assert.is((await own.inspect("other")).State.OOMKilled, true);
  await until(() => output.includes("oom other\n"), "the second event");
  assert.is(output.match(/oom/g)?.length, 2, output);
});

test.skipIf(reason, "pause and unpause under load: nothing runs between them, and nothing is lost", async (t) => {
  const own = await engine(t);
  const forks = "while :; do for i in 1 2 3 4 5 6 7 8; do (echo $i >> /count) & done; wait; done";
  await own.ok(["run", "-d", "--name", "box", "--net", "none", "host:/", "sh", "-c", forks]);
  const size = async (): Promise<number> => {
    const { State } = await own.inspect("box");
    return existsSync(`/proc/${State.Pid}/root/count`) ? readFileSync(`/proc/${State.Pid}/root/count`).length : 0;
  };
  for (let round = 0; round < 5; round += 1) {
    const before = await size();
    await until(async () => (await size()) > before, "it to go on");
    await own.ok(["pause", "box"]);
    const frozen = await size();
    await own.ok(["top", "box"]);
    assert.is(await size(), frozen);
    await own.ok(["unpause", "box"]);
  }
  assert.is((await own.run(["unpause", "box"])).code, 1);
});

test.skipIf(reason, "any signal by name or number, ports and their absence", async (t) => {
  const own = await engine(t);
  const script =
    "for s in USR1 WINCH RTMIN; do trap \"echo $s\" $s; done 2>/dev/null; trap 'echo 34' 34; echo up; while :; do sleep 0.05; done";
  await own.ok(["run", "-d", "--name", "box", "-p", "127.0.0.1::80", "--expose", "81", "host:/", "bash", "-c", script]);
  const shows = (text: string): Promise<void> => until(async () => (await own.run(["logs", "box"])).stdout.endsWith(text), text);
  await shows("up\n");
  for (const [signal, text] of [
    ["SIGUSR1", "USR1\n"],
    ["winch", "WINCH\n"],
    ["34", "34\n"],
    ["SIGRTMIN", "34\n"],
  ] as const) {
    await own.ok(["kill", "-s", signal, "box"]);
    await shows(text);
  }
  assert.match((await own.run(["kill", "-s", "SIGNOTHING", "box"])).stderr, /Invalid signal: SIGNOTHING/);
  const all = await own.ok(["port", "box"]);
  assert.match(all, /^80\/tcp -> 127\.0\.0\.1:\d+\n$/);
  assert.is(`80/tcp -> ${await own.ok(["port", "box", "80"])}`, all);
  assert.equal(await own.run(["port", "box", "81/tcp"]), {
    code: 1,
    stdout: "",
    stderr: "tsbox: no public port '81/tcp' published for box\n",
  });
});

test.skipIf(dockerReason, "docker's own client: top, stats, update, port", async (t) => {
  const own = await engine(t);
  await own.ok(["run", "-d", "--name", "box", "-m", "64m", "-p", "127.0.0.1::80", "host:/", "sleep", "1000"]);
  assert.match((await dockerCli(own, ["top", "box"])).stdout, /^UID +PID +.*CMD\nroot +\d+ .*sleep 1000\n$/);
  assert.match((await dockerCli(own, ["stats", "--no-stream"])).stdout, /\n[0-9a-f]{12} +box +\d+\.\d\d% +\S+ \/ 64MiB .* 1\s*\n$/);
  assert.equal(await dockerCli(own, ["update", "--pids-limit", "33", "--restart", "always", "box"]), {
    code: 0,
    stdout: "box\n",
    stderr: "",
  });
  assert.is(await limit(own, ["pids.max"]), "33");
  assert.match((await dockerCli(own, ["port", "box"])).stdout, /^80\/tcp -> 127\.0\.0\.1:\d+\n$/);
  await own.ok(["update", "--restart", "no", "box"]);
});
