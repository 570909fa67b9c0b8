/** Namespaces, identity, devices and limits of a container: set with flags, checked from inside. */
import { existsSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { binary, type Engine, engine } from "../src/engine.ts";

const test = suite("isolation by flags", { timeout: 120_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");
const none = ["run", "--rm", "--net", "none"] as const;
const sh = (own: Engine, flags: readonly string[], script: string): Promise<string> =>
  own.ok([...none, ...flags, "host:/", "sh", "-c", script]);

test.skipIf(reason, "--init: the first process is ours, reaps, passes signals on, and ends with the command's code", async (t) => {
  const own = await engine(t);
  assert.is((await own.run([...none, "--init", "host:/", "sh", "-c", "exit 7"])).code, 7);
  assert.is((await own.run([...none, "--init", "host:/", "no-such-command"])).code, 127);
  assert.match(
    await sh(own, ["--init"], "tr '\\0' ' ' </proc/1/cmdline; readlink /proc/1/exe"),
    /^tsbox-init sh .*\/memfd:tsbox \(deleted\)\n$/s,
  );
  // The first process becomes the parent of an orphan and reaps it, so no zombie stays.
  const left = await sh(
    own,
    ["--init"],
    "sh -c 'sh -c \"exit 0\" & exit 0'; while grep -q 'State:.Z' /proc/[0-9]*/status 2>/dev/null; do :; done; echo none",
  );
  assert.is(left, "none\n");
  await own.ok([
    "run",
    "-d",
    "--init",
    "--name",
    "signalled",
    "--net",
    "none",
    "host:/",
    "sh",
    "-c",
    "trap 'exit 9' TERM; touch /ready; while :; do sleep 0.1; done",
  ]);
  await own.ok(["stop", "signalled"]);
  assert.is((await own.inspect("signalled")).State.ExitCode, 9);
});

test.skipIf(reason, "a user namespace for all containers by the engine's configuration; --userns host is the way out", async (t) => {
  const config = join(temporaryDirectory(t), "config.json");
  writeFileSync(config, JSON.stringify({ plugins: [{ package: "@tsbox/containers", config: { userns: "private" } }] }));
  const own = await engine(t, config);
  const map = "cat /proc/self/uid_map; stat -c %u /etc/passwd";
  assert.match(await sh(own, [], map), /^ +0 +[1-9]\d+ +65536\n0\n$/);
  assert.match(await sh(own, ["--userns", "host", "--privileged"], map), /^ +0 +0 +4294967295\n0\n$/);
  assert.match((await own.run(["run", "--rm", "--privileged", "host:/", "true"])).stderr, /incompatible with user namespaces/);
  assert.match((await own.run(["run", "--rm", "--net", "host", "host:/", "true"])).stderr, /cannot share the host's network namespace/);
  assert.match(await own.ok(["info", "-f", "{{json .SecurityOptions}}"]), /"name=userns"/);
});

test.skipIf(
  reason,
  "--userns private: root inside is nobody outside, its files are root's on disk, and two containers share no id",
  async (t) => {
    const own = await engine(t);
    const start = ["run", "-d", "--userns", "private", "host:/", "sh", "-c", "echo mine >/mine; exec sleep 1000"] as const;
    const pids: number[] = [];
    for (const name of ["one", "two"]) {
      await own.ok([start[0], "--name", name, ...start.slice(1)]);
      pids.push((await own.inspect(name)).State.Pid);
    }
    const uid = (pid: number): number => Number(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
    const [first = 0, second = 0] = pids.map(uid);
    assert.ok(first >= 65_536 && second >= 65_536, "not root, nor anybody of the host's own");
    assert.ok(Math.abs(first - second) >= 65_536, "no id in common");
    const inside = await sh(
      own,
      ["--userns", "private"],
      "id -u; stat -c %u /etc/passwd; touch /x && stat -c %u /x; cat /proc/self/uid_map; mount | grep -c sysfs",
    );
    assert.match(inside, /^0\n0\n0\n +0 +\d+ +65536\n1\n$/);
    // A volume's files also belong to root, for containers inside and outside of a user namespace.
    await sh(own, ["--userns", "private", "-v", "shared:/data"], "echo from-inside >/data/note; chown 7:8 /data/note");
    assert.is(await sh(own, ["-v", "shared:/data"], "cat /data/note; stat -c %u:%g /data/note"), "from-inside\n7:8\n");
    await own.ok(["volume", "rm", "shared"]);
    // No rights over objects of the host or of another container.
    const probes = "mount -t tmpfs none /mnt 2>&1; mknod /dev/sda b 8 0 2>&1; echo 0 >/proc/sys/kernel/panic 2>&1; kill -0 1";
    assert.match(await sh(own, ["--userns", "private"], probes), /denied|permitted/i);
    assert.match(
      (await own.run(["run", "--rm", "--userns", "private", "--privileged", "host:/", "true"])).stderr,
      /incompatible with user namespaces/,
    );
  },
);

test.skipIf(
  reason,
  "/dev/stdin, /dev/stdout and /dev/stderr open by name for the container's user, in a user namespace and out of one",
  async (t) => {
    const own = await engine(t);
    const script = "read line </dev/stdin; echo $line >/dev/stdout; echo err >/dev/stderr; stat -Lc %u /dev/stdout";
    for (const userns of [[], ["--userns", "private"]]) {
      await own.ok(["run", "-d", "--name", "one", "--net", "none", ...userns, "host:/", "sleep", "1000"]);
      for (const user of ["0", "7"])
        for (const words of [
          [...none, "-i", ...userns, "-u", user, "host:/"],
          ["exec", "-i", "-u", user, "one"],
        ]) {
          const ran = await own.run([...words, "sh", "-c", script], { input: "in\n" });
          assert.equal(ran, { code: 0, stdout: `in\n${user}\n`, stderr: "err\n" }, words.join(" "));
          const screen = await own.run([
            words[0] ?? "",
            "-t",
            ...words.slice(1).filter((word) => word !== "-i"),
            "sh",
            "-c",
            "echo out >/dev/stdout",
          ]);
          assert.equal([screen.code, screen.stdout], [0, "out\r\n"], `-t ${words.join(" ")}: ${screen.stderr}`);
        }
      await own.ok(["rm", "-f", "one"]);
    }
  },
);

test.skipIf(reason, "--ipc, --pid, --uts, --cgroupns: the host's, none, or another container's", async (t) => {
  const own = await engine(t);
  const kinds = ["ipc", "pid", "uts", "cgroup"] as const;
  const links = kinds.map((kind) => readlinkSync(`/proc/self/ns/${kind}`)).join("\n");
  const ask = kinds.map((kind) => `readlink /proc/self/ns/${kind}`).join("; ");
  assert.is(await sh(own, ["--ipc", "host", "--pid", "host", "--uts", "host", "--cgroupns", "host"], ask), `${links}\n`);
  await own.ok(["run", "-d", "--name", "donor", "--ipc", "shareable", "host:/", "sh", "-c", "echo here >/dev/shm/note; exec sleep 1000"]);
  assert.is(await sh(own, ["--ipc", "container:donor"], "cat /dev/shm/note"), "here\n");
  assert.match(await sh(own, ["--pid", "container:donor"], "tr '\\0' ' ' </proc/1/cmdline"), /^sleep 1000 $/);
  const network = await own.ok([
    "run",
    "--rm",
    "--network",
    "container:donor",
    "host:/",
    "sh",
    "-c",
    "hostname; ip -o -4 addr show eth0; cat /etc/hosts",
  ]);
  const donor = await own.inspect("donor");
  assert.ok(network.startsWith(`${donor.Id.slice(0, 12)}\n`) && network.includes(`inet ${donor.NetworkSettings.IPAddress}/`), network);
  await own.ok(["run", "-d", "--name", "closed", "--net", "none", "host:/", "sleep", "1000"]);
  assert.match((await own.run([...none, "--ipc", "container:closed", "host:/", "true"])).stderr, /non-shareable IPC/);
  await own.ok(["stop", "-t", "0", "closed"]);
  const late = await own.run([...none, "--pid", "container:closed", "host:/", "true"]);
  assert.equal([late.code, /cannot join PID of a non running container/.test(late.stderr)], [125, true]);
  assert.is(await sh(own, ["--ipc", "none"], "mount | grep -c /dev/shm || true"), "0\n");
});

test.skipIf(reason, "limits, score, groups, sysctls and devices are what was asked for", async (t) => {
  const own = await engine(t);
  assert.is(await sh(own, ["--ulimit", "nofile=100:200", "--ulimit", "core=0"], "ulimit -Sn; ulimit -Hn; ulimit -c"), "100\n200\n0\n");
  // So few that the start itself needs more.
  assert.is(await sh(own, ["--ulimit", "nofile=4"], "ulimit -n"), "4\n");
  assert.is(await sh(own, ["--oom-score-adj", "300"], "cat /proc/self/oom_score_adj"), "300\n");
  assert.match(await sh(own, ["--group-add", "staff", "--group-add", "4242"], "id -G"), /^0 50 4242\n$/);
  assert.match((await own.run([...none, "--group-add", "no-such-group", "host:/", "true"])).stderr, /unable to find group no-such-group/);
  assert.is(await sh(own, ["--sysctl", "kernel.shmmax=12345"], "cat /proc/sys/kernel/shmmax"), "12345\n");
  assert.match((await own.run([...none, "--sysctl", "vm.swappiness=1", "host:/", "true"])).stderr, /whole host's/);
  assert.is(
    await sh(own, ["--device", "/dev/null:/dev/nothing:r"], "head -c 1 /dev/nothing | wc -c; stat -c '%t %T' /dev/nothing"),
    "0\n1 3\n",
  );
  // A process with the capability may make a node, but a rule must allow its use.
  const node = "mknod /tmp/fuse c 10 229 && head -c 0 /tmp/fuse 2>&1; echo $?";
  assert.match(await sh(own, [], node), /denied|permitted/i);
  assert.is(await sh(own, ["--device-cgroup-rule", "c 10:229 r"], node), "0\n");
  assert.match(
    await sh(
      own,
      ["--security-opt", "no-new-privileges", "--security-opt", "systempaths=unconfined"],
      "grep NoNewPrivs /proc/self/status; mount | grep -c ' /proc/'|| true",
    ),
    /^NoNewPrivs:\t1\n0\n$/,
  );
});

test.skipIf(reason, "--time-offset moves the clocks that count from the boot", async (t) => {
  const own = await engine(t);
  if (!existsSync("/proc/self/ns/time")) {
    assert.match((await own.run([...none, "--time-offset", "1h", "host:/", "true"])).stderr, /no time namespaces/);
    return;
  }
  const day = 86_400;
  const uptime = async (flags: readonly string[]): Promise<number> => Number((await sh(own, flags, "cut -d' ' -f1 /proc/uptime")).trim());
  const moved = (await uptime(["--time-offset", "240h"])) - (await uptime([]));
  assert.ok(moved > 9 * day && moved <= 10 * day, `${moved} s`);
  assert.match(await sh(own, ["--time-offset", "monotonic=1h"], "cat /proc/self/timens_offsets"), /monotonic +3600 +0\nboottime +0 +0\n/);
  // Further processes see the same clocks.
  await own.ok(["run", "-d", "--name", "later", "--net", "none", "--time-offset", "240h", "host:/", "sleep", "1000"]);
  assert.ok(Number(await own.ok(["exec", "later", "cut", "-d", " ", "-f", "1", "/proc/uptime"])) > 9 * day);
  assert.match((await own.run([...none, "--time-offset", "-876000h", "host:/", "true"])).stderr, /before 0/);
});

test.skipIf(reason, "what the host does not let a container have is a warning, and it runs", async (t) => {
  const own = await engine(t);
  const old = await own.run(["run", "--rm", "--net", "none", "--kernel-memory", "64m", "host:/", "echo", "here"]);
  assert.equal(
    [old.stdout, old.stderr],
    ["here\n", "WARNING: --kernel-memory is ignored: kernels limit all memory as one, with --memory\n"],
  );
  const hard = Number(/^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1]);
  const ran = await own.run([...none, "--ulimit", `nofile=${hard * 2}:${hard * 2}`, "host:/", "sh", "-c", "ulimit -Hn"]);
  assert.is(ran.code, 0);
  // If root may raise the limit, it is raised; otherwise there is a warning.
  if (ran.stdout === `${hard * 2}\n`) return;
  assert.equal([ran.stdout, /^WARNING: limit NOFILE=.*above what this host allows.*\n$/.test(ran.stderr)], [`${hard}\n`, true], ran.stderr);
  const detached = await own.run(["run", "-d", "--net", "none", "--ulimit", `nofile=${hard * 2}:${hard * 2}`, "host:/", "true"]);
  assert.match(detached.stderr, /^WARNING: limit NOFILE/);
  const remote = await own.run([...none, "--env-file", "/dev/null", "--ulimit", `nofile=${hard * 2}:${hard * 2}`, "host:/", "true"]);
  assert.match(remote.stderr, /^WARNING: limit NOFILE/);
});

test.skipIf(reason, "files of the user's own are read and written by the user's own process", async (t) => {
  const own = await engine(t);
  const directory = temporaryDirectory(t);
  const at = (name: string): string => join(directory, name);
  writeFileSync(at("env"), "# a comment\nFROM_FILE=yes\n\nHOME_OF_CALLER\n");
  writeFileSync(at("labels"), "colour=blue\n");
  writeFileSync(
    at("seccomp.json"),
    JSON.stringify({
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 95 }],
    }),
  );
  const flags = [
    "--env-file",
    at("env"),
    "--label-file",
    at("labels"),
    "--cidfile",
    at("id"),
    "--security-opt",
    `seccomp=${at("seccomp.json")}`,
  ];
  const ran = await own.run(["run", "--net", "none", ...flags, "host:/", "sh", "-c", "echo $FROM_FILE $HOME_OF_CALLER; mkdir /x"], {
    environment: { HOME_OF_CALLER: "/home/me" },
  });
  assert.equal([ran.code, ran.stdout, /not supported/i.test(ran.stderr)], [1, "yes /home/me\n", true], ran.stderr);
  const id = readFileSync(at("id"), "utf8");
  assert.is(await own.ok(["inspect", "-f", "{{.Id}} {{.Config.Labels.colour}}", id]), `${id} blue\n`);
  const again = await own.run([...none, "--cidfile", at("id"), "host:/", "true"]);
  assert.equal([again.code, /container ID file found/.test(again.stderr)], [125, true]);
  const absent = await own.run([...none, "--env-file", at("nowhere"), "host:/", "true"]);
  assert.equal([absent.code, absent.stderr], [125, `tsbox: open ${at("nowhere")}: no such file or directory\n`]);
});

test.skipIf(reason, "a seccomp profile of the user's own is in force", async (t) => {
  const own = await engine(t);
  const profile = JSON.stringify({
    defaultAction: "SCMP_ACT_ALLOW",
    syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 95 }],
  });
  const made = await own.run([...none, "--security-opt", `seccomp=${profile}`, "host:/", "mkdir", "/x"]);
  assert.equal([made.code, /not supported/i.test(made.stderr)], [1, true]);
});
