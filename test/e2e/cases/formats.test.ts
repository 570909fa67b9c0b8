/**
 * One container's life by each exec driver: another runtime's containers (runc, LXC) behave as the engine's own, from the exit code to the
 * death of the daemon in between, and leave nothing.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Case, needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { alive, binary, type Engine, engine, until } from "../src/engine.ts";
import { needsTools } from "../src/images.ts";
import { Terminal } from "../src/terminal.ts";

const test = suite("containers of other formats", { timeout: 180_000 });
const reason =
  needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ?? needsBusybox() ?? needsTools("script");
const formats = [
  ["oci", needsTools("runc")],
  ["lxc", needsTools("lxc-start")],
] as const;

async function ready(t: Case): Promise<Engine> {
  const own = await engine(t);
  await own.ok(["import", "-c", "ENV PATH=/bin", "-", "bb"], { input: busyboxTar(t) });
  return own;
}

/** What the format itself knows of containers. */
const known = (own: Engine, format: string): readonly string[] => {
  const directory = join(own.state, `exec-${format}`, "containers");
  return existsSync(directory) ? readdirSync(directory) : [];
};

test.skipIf(reason ?? needsTools("runsc"), "runsc: a kernel of its own, by the runtime's own commands", async (t) => {
  const config = join(temporaryDirectory(t), "config.json");
  const words = ["--platform=ptrace", "--network=host", "--file-access=shared", "--ignore-cgroups"];
  writeFileSync(config, JSON.stringify({ exec: { gvisor: { driver: "oci", path: "runsc", arguments: words } } }));
  const own = await engine(t, config);
  await own.ok(["import", "-c", "ENV PATH=/bin", "-", "bb"], { input: busyboxTar(t) });
  const ended = await own.run(["run", "--rm", "--exec", "gvisor", "bb", "sh", "-c", "dmesg | head -1; exit 7"]);
  assert.is(ended.code, 7);
  assert.match(ended.stdout, /gVisor/);
  assert.is((await own.run(["run", "--rm", "--exec", "gvisor", "bb", "nosuch"])).code, 127);
  assert.is((await own.run(["run", "--rm", "--exec", "gvisor", "bb", "/etc"])).code, 126);
  const loop = "trap 'exit 9' TERM; while :; do sleep 0.1; done";
  await own.ok(["run", "-d", "--name", "one", "--exec", "gvisor", "--pids-limit", "20", "bb", "sh", "-c", loop]);
  const inside = await own.run(["exec", "one", "sh", "-c", "echo here; exit 3"]);
  assert.equal([inside.code, inside.stdout], [3, "here\n"]);
  assert.match(await own.ok(["stats", "--no-stream", "--format", "{{.PIDs}}", "one"]), /^[1-9]/);
  await own.ok(["pause", "one"]);
  await own.ok(["unpause", "one"]);
  assert.match((await own.run(["top", "one"])).stderr, /are not the host's/);
  await own.ok(["stop", "one"]);
  assert.is(await own.ok(["inspect", "-f", "{{.State.ExitCode}}", "one"]), "9\n");
  await own.ok(["start", "one"]);
  await own.ok(["kill", "one"]);
  await own.ok(["rm", "one"]);
  await until(() => known(own, "gvisor").length === 0, "the runtime to forget its containers");
});

for (const [format, missing] of formats) {
  const run = ["run", "--rm", "--exec", format, "--net", "none"] as const;

  test.skipIf(reason ?? missing, `${format}: exit codes, streams, and why a command can't be executed`, async (t) => {
    const own = await ready(t);
    const ended = await own.run([...run, "-i", "bb", "sh", "-c", "cat; echo apart >&2; exit 7"], { input: "through\n" });
    assert.equal([ended.code, ended.stdout, ended.stderr], [7, "through\n", "apart\n"]);
    assert.is((await own.run([...run, "bb", "sh", "-c", "kill -9 $$; exit 3"])).code, 3);
    for (const [word, code, text] of [
      ["nosuch", 127, /executable file not found/],
      ["/etc", 126, /permission denied/],
    ] as const) {
      const refused = await own.run([...run, "bb", word]);
      assert.is(refused.code, code);
      assert.match(refused.stderr, text);
    }
    assert.is(await own.ok(["ps", "-aq"]), "");
    await until(() => known(own, format).length === 0, "the format to forget its containers");
  });

  test.skipIf(reason ?? missing, `${format}: what a container sees is what the engine's own format shows`, async (t) => {
    const own = await ready(t);
    const look = [
      "pwd; id; hostname; env | sort | grep -v TERM",
      "cat /proc/self/status | grep -E 'Cap|NoNewPrivs|Seccomp:|SigIgn|SigBlk|Umask'",
      "ulimit -n; cat /proc/sys/net/ipv4/ip_forward; ls /.dockerenv; ls /dev | grep -v -E 'console|core|.tsbox'",
      "for each in /proc/keys /proc/kcore /proc/timer_list; do wc -c <$each; done; ls /sys/firmware; echo x >/proc/sys/kernel/shmmax; echo $?",
      "cat /new/f; echo y >/ro/f; df /t | tail -1 | tr -s ' ' | cut -d' ' -f2; touch /no",
    ];
    const source = temporaryDirectory(t);
    writeFileSync(join(source, "f"), "of the host\n");
    const flags = [
      ...["-v", `${source}:/new`, "-v", `${source}:/ro:ro`, "--tmpfs", "/t:size=2m", "--read-only", "-w", "/made/here"],
      ...["-u", "1000:100", "--group-add", "7", "-e", "TWO=a\nb", "--hostname", "inside", "--ulimit", "nofile=64:64"],
      ...["--sysctl", "net.ipv4.ip_forward=1", "--security-opt", "no-new-privileges", "--device", "/dev/fuse", "--memory", "64m"],
    ];
    const shown = async (exec: string): Promise<string> => {
      const { stdout, stderr } = await own.run([
        ...["run", "--rm", "--exec", exec, "--net", "none", ...flags, "bb", "sh", "-c", look.join("\n")],
      ]);
      return `${stdout}\n${stderr}`;
    };
    assert.is(await shown(format), await shown("native"));
  });

  test.skipIf(reason ?? missing, `${format}: exec, top, stats, pause, update, logs, stop and start again`, async (t) => {
    const own = await ready(t);
    await own.ok(["run", "-d", "--name", "one", "--exec", format, "bb", "sh", "-c", "echo begun; exec sleep 1000"]);
    assert.is(await own.ok(["exec", "-e", "A=1", "one", "sh", "-c", "echo $A; hostname | wc -c"]), "1\n13\n");
    assert.is((await own.run(["exec", "one", "nosuch"])).code, 127);
    assert.match(await own.ok(["top", "one"]), /sleep 1000/);
    assert.match(await own.ok(["stats", "--no-stream", "--format", "{{.PIDs}}", "one"]), /^1\n/);
    await own.ok(["pause", "one"]);
    assert.match(await own.ok(["ps", "--format", "{{.Status}}"]), /Paused/);
    await own.ok(["unpause", "one"]);
    await own.ok(["update", "-m", "32m", "one"]);
    assert.match(await own.ok(["stats", "--no-stream", "--format", "{{.MemUsage}}", "one"]), / \/ 32MiB\n/);
    assert.is(await own.ok(["logs", "one"]), "begun\n");
    await own.ok(["cp", "one:/bin/busybox", join(temporaryDirectory(t), "copy")]);
    await own.ok(["kill", "-s", "KILL", "one"]);
    assert.is(await own.ok(["inspect", "-f", "{{.State.ExitCode}}", "one"]), "137\n");
    await until(() => known(own, format).length === 0, "the format to forget an ended container");
    await own.ok(["start", "one"]);
    await own.ok(["stop", "-t", "1", "one"]);
    await own.ok(["rm", "one"]);
  });

  test.skipIf(reason ?? missing, `${format}: a terminal of the container's own, with its size`, async (t) => {
    const own = await ready(t);
    // The terminal's input stays open: at its end script(1) types a character, which is shown somewhere between the lines.
    const terminal = new Terminal(own, `run --rm -it --exec ${format} --net none bb sh -c 'tty; stty size; echo >/dev/tty; exit 4'`);
    assert.is(await terminal.ended, 4, terminal.output);
    assert.match(terminal.output, /\/dev\/pts\/0\r\n33 99\r\n/);
  });

  test.skipIf(
    reason ?? missing,
    `${format}: in a user namespace root is nobody on the host, and has its files, volumes and streams`,
    async (t) => {
      const own = await ready(t);
      const directory = temporaryDirectory(t);
      const words = ["--userns", "private", "-v", "kept:/v", "-v", `${directory}:/ro/bind:ro`, "--device", "/dev/fuse"];
      const script = [
        "id -u; awk '{ print $1, $3 }' /proc/self/uid_map; echo out >/dev/stdout; echo err >/dev/stderr",
        "touch /x /v/x; stat -c %u /x /v/x /.dockerenv /etc/hosts; touch /ro/bind/x 2>/dev/null || echo refused",
        "test -c /dev/fuse && grep -c . /etc/hosts",
      ].join("; ");
      const ran = await own.run([...run, ...words, "bb", "sh", "-c", script]);
      assert.is(ran.code, 0, ran.stderr);
      assert.match(ran.stdout, /^0\n0 65536\nout\n0\n0\n0\n\d+\nrefused\n[1-9]\d*\n$/);
      assert.is(ran.stderr, "err\n");
      // A volume has the same owners outside of the namespace.
      assert.is(await own.ok([...run, "-v", "kept:/v", "bb", "stat", "-c", "%u", "/v/x"]), "0\n");
      assert.is(
        (await own.run([...run, "--userns", "private", "--read-only", "-v", "kept:/v", "bb", "sh", "-c", "touch /v/y && ! touch /y"])).code,
        0,
      );
      assert.is((await own.run([...run, "--userns", "private", "-u", "7", "bb", "sh", "-c", "echo $(id -u) >/dev/stdout"])).stdout, "7\n");
      await own.ok(["run", "-d", "--name", "mapped", "--userns", "private", "--exec", format, "--net", "none", "bb", "sleep", "1000"]);
      const pid = await own.ok(["inspect", "-f", "{{.State.Pid}}", "mapped"]);
      assert.not.match(readFileSync(`/proc/${pid.trim()}/status`, "utf8"), /^Uid:\t0\t/m);
      assert.is(await own.ok(["exec", "mapped", "id", "-u"]), "0\n");
      await own.ok(["rm", "-f", "mapped"]);
    },
  );

  test.skipIf(reason ?? missing, `${format}: the daemon's death, the shim's, and the whole engine's`, async (t) => {
    const own = await ready(t);
    const start = (name: string, ...words: readonly string[]): Promise<string> =>
      own.ok(["run", "-d", "--name", name, "--exec", format, "--net", "none", "bb", ...words]);
    await start("kept", "sh", "-c", "trap 'exit 9' TERM; while :; do sleep 0.1; done");
    process.kill(own.daemonPid(), "SIGKILL");
    // The client waits for the next daemon.
    await own.ok(["exec", "kept", "true"]);
    await own.ok(["stop", "kept"]);
    assert.is(await own.ok(["inspect", "-f", "{{.State.ExitCode}}", "kept"]), "9\n");

    await start("alone", "sleep", "1000");
    const pid = Number(await own.ok(["inspect", "-f", "{{.State.Pid}}", "alone"]));
    for (const shim of own.shims()) process.kill(shim, "SIGKILL");
    assert.ok(alive(pid), "a container goes on without its shim");
    await own.ok(["rm", "-f", "alone"]);
    assert.not.ok(alive(pid));
    await own.ok(["rm", "kept"]);
    await until(() => known(own, format).length === 0, "the format to forget its containers");
  });
}

test.skipIf(
  reason,
  "a runtime that hangs in create: its container can be removed, its client gets an error, and nothing of it is left",
  async (t) => {
    const directory = temporaryDirectory(t);
    const [program, pids] = [join(directory, "hanging"), join(directory, "pids")];
    writeFileSync(
      program,
      `#!/bin/sh
case "$*" in
  *--version*) printf 'hanging version 1.0\\nspec: 1.1.0\\n' ;;
  *" create "*) echo $$ >>${pids}; exec sleep 1000 ;;
esac
`,
      { mode: 0o755 },
    );
    const config = join(directory, "config.json");
    writeFileSync(config, JSON.stringify({ exec: { hanging: { driver: "oci", path: program } } }));
    const own = await engine(t, config);
    await own.ok(["import", "-c", "ENV PATH=/bin", "-", "bb"], { input: busyboxTar(t) });
    const creating = (): readonly number[] => (existsSync(pids) ? readFileSync(pids, "utf8").split("\n").filter(Boolean).map(Number) : []);
    const ended = async (name: string, before: number, ...verb: readonly string[]): Promise<void> => {
      const client = own.client(["run", "-d", "--name", name, "--exec", "hanging", "--net", "none", "bb", "true"]);
      await until(() => creating().length > before, "the runtime to create");
      const runtime = creating().at(-1) ?? 0;
      await own.ok([...verb, name]);
      const ran = await client.ended;
      assert.is(ran.code, 125, ran.stderr);
      assert.match(ran.stderr, /^tsbox: the start of container \w+ was given up: /);
      await until(() => !alive(runtime), `the runtime to end after ${verb[0]}`);
    };
    await ended("stopped", 0, "stop", "-t", "1");
    assert.is(await own.ok(["ps", "-a", "--format", "{{.Names}} {{.Status}}"]), "stopped Created\n");
    await ended("removed", 1, "rm", "-f");
    assert.is(await own.ok(["ps", "-a", "--format", "{{.Names}}"]), "stopped\n");
  },
);

test.skipIf(reason ?? needsTools("lxc-start"), "--lxc-conf: a line of LXC's own configuration, and who refuses which", async (t) => {
  const own = await ready(t);
  const v2 = (await own.ok(["info", "-f", "{{.CgroupVersion}}"])) === "2\n";
  const line = v2 ? "lxc.cgroup2.pids.max = 77" : "lxc.cgroup.pids.max = 77";
  const shown = "cat /proc/self/limits | grep 'open files'; sleep 1000";
  const limit = ["--lxc-conf", line, "--lxc-conf", "lxc.prlimit.nofile=321:321"];
  await own.ok(["run", "-d", "--name", "box", "--exec", "lxc", ...limit, "bb", "sh", "-c", shown]);
  await until(async () => (await own.ok(["logs", "box"])) !== "", "the limit to be shown");
  assert.match(await own.ok(["logs", "box"]), /^Max open files +321 +321 /);
  assert.match(await own.ok(["stats", "--no-stream", "--format", "{{json .}}", "box"]), /"PIDs":"\d+"/);
  const { State } = await own.inspect("box");
  const group = readFileSync(`/proc/${State.Pid}/cgroup`, "utf8").split("\n");
  const pids = /^\d+:(?:pids)?:(.*)$/.exec(group.find((one) => (v2 ? one.startsWith("0::") : one.includes(":pids:"))) ?? "")?.[1] ?? "";
  assert.is(readFileSync(`/sys/fs/cgroup${v2 ? "" : "/pids"}${pids}/pids.max`, "utf8"), "77\n");
  const asked = JSON.parse(await own.ok(["inspect", "-f", "{{json .HostConfig.LxcConf}}", "box"]));
  assert.equal(asked[1], { Key: "lxc.prlimit.nofile", Value: "321:321" });
  await own.ok(["rm", "-f", "box"]);

  const create = (body: object): string =>
    execFileSync(
      "curl",
      ["-sS", "--max-time", "20", "--unix-socket", own.socket, "-H", "Content-Type: application/json", "-d", JSON.stringify(body)].concat(
        "http://x/v1.51/containers/create",
      ),
      { encoding: "utf8" },
    );
  const body = (LxcConf: unknown, more: object = {}): object => ({
    Image: "bb",
    Cmd: ["true"],
    HostConfig: { Runtime: "lxc", LxcConf, ...more },
  });
  const one = (Key: string, Value: string): readonly object[] => [{ Key, Value }];
  assert.match(create(body(one("lxc.prlimit.nofile", "100"))), /"Id":"[0-9a-f]{64}"/);
  assert.match(create(body(one("lxc.mount.entry", "/etc etc none bind 0 0"))), /lxc\.mount\.entry.*only --privileged may have it/);
  assert.match(create(body(one("lxc.rootfs.path", "/"), { Privileged: true })), /the engine sets it itself: use --storage/);
  assert.match(create(body({ "lxc.prlimit.nofile": "1" })), /LxcConf.*not a list/);
  for (const format of ["native", ...(needsTools("runc") === null ? ["oci"] : [])]) {
    const refused = await own.run(["create", "--exec", format, ...limit, "bb", "true"]);
    assert.is(refused.code, 1);
    assert.match(
      refused.stderr,
      new RegExp(`--lxc-conf: the exec driver ${format} takes no options of its own; leave it out, or use --exec lxc`),
    );
  }
  assert.is((await own.run(["create", "--exec", "lxc", "--lxc-conf", "nothing", "bb", "true"])).code, 125);
});
