/** `tsbox run host:/`: a complete run, without a registry and without a network. */
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { binary, engine, machine, until } from "../src/engine.ts";

const test = suite("run host:/", { timeout: 120_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");
const none = ["run", "--rm", "--net", "none"] as const;

test.skipIf(
  reason,
  "what a user asks for right after a run finds the container ended: its name, its volume and the container itself are free",
  async (t) => {
    const own = await engine(t);
    const run = ["run", "--net", "none", "--name", "again", "-v", "again:/x"] as const;
    for (let at = 0; at < 30; at += 1) {
      await own.ok([...run, "--rm", machine, "true"]);
      await own.ok(["volume", "rm", "again"]);
      await own.ok([...run, machine, "true"]);
      await own.ok(["rm", "again"]);
      await own.ok(["volume", "rm", "again"]);
    }
  },
);

test.skipIf(reason, "what can't be made or started leaves no shim, which may be there before it is known", async (t) => {
  const own = await engine(t);
  await own.ok(["create", "--name", "stopped", "--net", "none", machine, "true"]);
  for (const wrong of [
    ["--ipc", "container:stopped"],
    ["--storage-opt", "size=nothing"],
    ["--mount", "type=bind,src=/not/there,dst=/n"],
    ["--net", "nosuch"],
    ["--sysctl", "net.ipv4.nosuch=1"],
  ]) {
    assert.is((await own.run(["run", ...wrong, machine, "true"])).code, 125, wrong.join(" "));
    await until(() => own.shims().length === 0, `the shim to end: ${wrong.join(" ")}`);
  }
});

test.skipIf(reason, "standard output is exactly what the command wrote, all else goes to standard error", async (t) => {
  const own = await engine(t);
  const ran = await own.run([...none, machine, "echo", "hello"]);
  assert.equal([ran.code, ran.stdout, ran.stderr], [0, "hello\n", ""]);
});

test.skipIf(reason, "a container in the background that does not start is there, so its id is printed", async (t) => {
  const own = await engine(t);
  const ran = await own.run(["run", "-d", "--net", "none", machine, "no-such-command"]);
  assert.is(ran.code, 127);
  assert.is(ran.stdout, await own.ok(["ps", "-aq", "--no-trunc"]));
  const unmade = await own.run(["run", "-d", "--mount", "type=bind,src=/not/there,dst=/n", machine, "true"]);
  assert.is(unmade.stdout, "");
});

test.skipIf(reason, "exit codes are Docker's", async (t) => {
  const own = await engine(t);
  for (const [argv, code, words] of [
    [["sh", "-c", "exit 7"], 7, /^$/],
    [["sh", "-c", "sh -c 'kill -9 $$'; exit $?"], 137, /.*/],
    [["no-such-command"], 127, /^tsbox: .*no-such-command.*not found.*\n$/],
    [["/etc/passwd"], 126, /^tsbox: .*\/etc\/passwd.*permission denied\n$/],
  ] as const) {
    const ran = await own.run([...none, machine, ...argv]);
    assert.is(ran.code, code, argv.join(" "));
    assert.match(ran.stderr, words);
  }
});

test.skipIf(
  reason,
  "stdin, stdout and stderr are carried apart, and a gigabyte through them is whole while the daemon's memory is flat",
  async (t) => {
    const own = await engine(t);
    const apart = await own.run([...none, "-i", machine, "sh", "-c", "cat; echo oops >&2"], { input: "from here\n" });
    assert.equal([apart.stdout, apart.stderr], ["from here\n", "oops\n"]);
    const memory = (): number => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${own.daemonPid()}/status`, "utf8"))?.[1]);
    const before = memory();
    const { execFileSync } = await import("node:child_process");
    const script = `head -c 1073741824 /dev/zero | tr '\\0' 'x' | "$TSBOX" ${none.join(" ")} -i ${machine} cat | sha256sum; head -c 1073741824 /dev/zero | tr '\\0' 'x' | sha256sum`;
    const sums = execFileSync("sh", ["-c", script], { env: { ...own.environment, TSBOX: binary }, encoding: "utf8" })
      .trim()
      .split("\n");
    assert.is(sums.length, 2);
    assert.is(sums[0], sums[1]);
    const grown = memory() - before;
    assert.ok(grown < 50_000, `the daemon grew by ${grown} KiB`);
  },
);

test.skipIf(
  reason,
  "the six namespaces are its own, its root is a layer of its own, and only descriptors 0, 1 and 2 are open",
  async (t) => {
    const own = await engine(t);
    const id = (
      await own.ok(["run", "-d", "--name", "inside", "--net", "none", machine, "sh", "-c", "echo written > /written; exec sleep 1000"])
    ).trim();
    const { State } = await own.inspect("inside");
    for (const kind of ["pid", "net", "ipc", "mnt", "uts", "cgroup"])
      assert.is.not(readlinkSync(`/proc/${State.Pid}/ns/${kind}`), readlinkSync(`/proc/self/ns/${kind}`), kind);
    assert.equal(readdirSync(`/proc/${State.Pid}/fd`).sort(), ["0", "1", "2"]);
    const driver = (await own.ok(["inspect", "-f", "{{.Driver}}", "inside"])).trim();
    const upper = join(own.root, `storage-${driver}`, "active", `container-${id}`, "fs");
    await until(() => existsSync(join(upper, "written")), "the container to write");
    assert.not.ok(existsSync("/written"));
    const status = readFileSync(`/proc/${State.Pid}/status`, "utf8");
    assert.match(status, /^CapBnd:\s+00000000a80425fb$/m);
    assert.match(status, /^Seccomp:\s+2$/m);
    await own.ok(["rm", "-f", "inside"]);
    await until(() => !existsSync(upper), "the layer to go");
  },
);

test.skipIf(reason, "limits are the kernel's: memory, cpus and pids", async (t) => {
  const own = await engine(t);
  const ran = await own.run([...none, "-m", "32m", "--name", "hungry", machine, "sh", "-c", "tail /dev/zero"]);
  assert.is(ran.code, 137);
  const forks = await own.run([...none, "--pids-limit", "5", machine, "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait"]);
  assert.match(forks.stderr, /fork|Resource temporarily unavailable/i);
});

test.skipIf(reason, "secrets of the host are hidden, and writes stay in the container", async (t) => {
  const own = await engine(t);
  const { stdout } = await own.run([
    ...none,
    machine,
    "sh",
    "-c",
    "ls -A /root | wc -l; test -e /etc/shadow || echo hidden; echo x > /etc/tsbox-test-write; cat /etc/tsbox-test-write",
  ]);
  assert.is(stdout, "0\nhidden\nx\n");
  assert.not.ok(existsSync("/etc/tsbox-test-write"));
});

test.skipIf(reason, "ps, logs, wait, stop, kill, inspect and rm say what Docker says", async (t) => {
  const own = await engine(t);
  const id = (
    await own.ok([
      "run",
      "-d",
      "--name",
      "worker",
      "--net",
      "none",
      machine,
      "sh",
      "-c",
      "trap 'exit 5' TERM; echo out; echo err >&2; while :; do sleep 0.05; done",
    ])
  ).trim();
  assert.match(id, /^[0-9a-f]{64}$/);
  assert.match(
    await own.ok(["ps"]),
    new RegExp(`^CONTAINER ID +IMAGE +COMMAND +CREATED +STATUS +PORTS +NAMES\n${id.slice(0, 12)} +${machine} .*Up .*worker\n$`),
  );
  await until(async () => (await own.run(["logs", "worker"])).stderr === "err\n", "both lines in the log");
  assert.is((await own.run(["logs", "worker"])).stdout, "out\n");
  const waiting = own.client(["wait", "worker"]).ended;
  assert.is(await own.ok(["stop", "worker"]), "worker\n");
  assert.is((await waiting).stdout, "5\n");
  assert.is(await own.ok(["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "worker"]), "exited 5\n");
  const taken = await own.run(["run", "--name", "worker", "--net", "none", machine, "true"]);
  assert.is(taken.code, 125);
  assert.match(taken.stderr, /^tsbox: Conflict\. The container name "\/worker" is already in use by container "[0-9a-f]{64}"\..*\n$/);
  assert.is(await own.ok(["rm", "worker"]), "worker\n");
  const gone = await own.run(["rm", "worker"]);
  assert.equal([gone.code, gone.stderr], [1, "tsbox: No such container: worker\n"]);
});

test.skipIf(reason, "mounts, identity and rights are as asked for", async (t) => {
  const own = await engine(t);
  const directory = temporaryDirectory(t);
  writeFileSync(join(directory, "file"), "of the host\n");
  const run = (flags: readonly string[], script: string): Promise<string> => own.ok([...none, ...flags, machine, "sh", "-c", script]);
  assert.is(
    await run(["-v", `${directory}:/data:ro`], "cat /data/file; touch /data/new 2>/dev/null || echo refused"),
    "of the host\nrefused\n",
  );
  await run(["-v", `${directory}:/data`], "echo back > /data/back");
  assert.is(readFileSync(join(directory, "back"), "utf8"), "back\n");
  assert.is(
    await run(
      ["--tmpfs", "/scratch:size=1m"],
      "grep ' /scratch ' /proc/mounts | cut -d ' ' -f 3; df -k /scratch | tail -1 | awk '{ print $2 }'",
    ),
    "tmpfs\n1024\n",
  );
  assert.is(await run(["--read-only"], "touch /x 2>/dev/null || echo refused"), "refused\n");
  assert.is(await run(["--hostname", "named", "-e", "A=1", "-w", "/tmp"], "hostname; echo $A; pwd"), "named\n1\n/tmp\n");
  assert.is(await own.ok([...none, "--entrypoint", "echo", machine, "its", "words"]), "its words\n");
  assert.match(await run(["--cap-drop", "ALL", "--cap-add", "net_raw"], "grep CapEff /proc/self/status"), /0000000000002000$/m);
  assert.match(
    await run(["--privileged"], "grep Seccomp: /proc/self/status; test -c /dev/fuse && echo devices"),
    /^Seccomp:\t0\ndevices\n$/,
  );
  assert.is(await run(["--storage", "overlay", "--exec", "native"], "echo chosen"), "chosen\n");
});
