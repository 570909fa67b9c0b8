/**
 * Real attempts of escapes that other engines have had. A case is named by its CVE, does what the report describes, and fails if it reaches
 * anything of the host. Attacks with `cp` and image layers have their own files.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { binary, type Engine, engine } from "../src/engine.ts";

const test = suite("known escapes", { timeout: 180_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");
const none = ["run", "--rm", "--net", "none"] as const;
const inside = (own: Engine, flags: readonly string[], script: string) => own.run([...none, ...flags, "host:/", "sh", "-c", script]);
const digest = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

test.skipIf(reason, "CVE-2019-5736: /proc/self/exe as the command, and a write to the binary of a process that enters", async (t) => {
  const own = await engine(t);
  const before = digest(binary);
  // The command is the runtime itself: it runs like any program, or not at all.
  const itself = await own.run([...none, "host:/", "/proc/self/exe", "version"]);
  assert.not.equal(itself.code, 0);
  // The container waits for a process to enter, holds its /proc/PID/exe, and writes to it once no process runs it.
  const trap = `
    for round in $(seq 200); do
      for pid in /proc/[0-9]*; do
        case $(readlink $pid/exe 2>/dev/null) in *tsbox*) exec 9<$pid/exe && echo caught && { echo overwritten >/proc/self/fd/9; } 2>/dev/null && echo written;; esac
      done
    done
    true`;
  await own.ok(["run", "-d", "--name", "trap", "--net", "none", "host:/", "sh", "-c", trap]);
  for (let at = 0; at < 10; at += 1) await own.run(["exec", "trap", "true"]);
  await own.ok(["wait", "trap"]);
  assert.not.match(await own.ok(["logs", "trap"]), /written/);
  assert.is(digest(binary), before);
});

test.skipIf(reason, "CVE-2024-21626: a working directory that is a descriptor of the host", async (t) => {
  const own = await engine(t);
  await own.ok(["run", "-d", "--name", "kept", "--net", "none", "host:/", "sleep", "1000"]);
  for (let descriptor = 3; descriptor < 20; descriptor += 1)
    for (const started of [
      [...none, "-w", `/proc/self/fd/${descriptor}`, "host:/"],
      ["exec", "-w", `/proc/self/fd/${descriptor}`, "kept"],
    ]) {
      // Either the directory does not exist, or it is inside the container.
      const ran = await own.run([...started, "sh", "-c", "cd ../../../../.. && ls -di . && ls -di /"]);
      const [there, root] = ran.stdout.split("\n").map((line) => line.trim().split(" ")[0]);
      assert.ok(ran.code !== 0 || there === root, `${started.join(" ")}: ${ran.stdout}${ran.stderr}`);
    }
});

test.skipIf(reason, "CVE-2022-0492: a release agent of a cgroup hierarchy", async (t) => {
  const own = await engine(t);
  const script = `
    mkdir /tmp/c
    for how in "mount -t cgroup -o memory cgroup /tmp/c" "unshare -UrmC mount -t cgroup -o memory cgroup /tmp/c" "unshare -rm mount -t tmpfs none /tmp/c"; do $how 2>/dev/null && echo "mounted by $how"; done
    for file in $(find /sys/fs/cgroup -name release_agent 2>/dev/null); do echo /tmp/agent >$file 2>/dev/null && echo "wrote $file"; done
    for file in $(find /sys/fs/cgroup -name notify_on_release 2>/dev/null | head -3); do echo 1 >$file 2>/dev/null && echo "wrote $file"; done
    echo end`;
  const ran = await inside(own, [], script);
  assert.equal([ran.code, ran.stdout], [0, "end\n"]);
});

test.skipIf(reason, "CVE-2020-15257: abstract sockets, which the host's network namespace shares", async (t) => {
  const own = await engine(t);
  const ran = await own.run(["run", "--rm", "--net", "host", "host:/", "sh", "-c", "grep -a '@.*tsbox' /proc/net/unix; echo end"]);
  assert.equal([ran.code, ran.stdout], [0, "end\n"]);
});

test.skipIf(reason, "CVE-2019-16884: a volume over /proc, or inside it", async (t) => {
  const own = await engine(t);
  const fake = temporaryDirectory(t, "/var/tmp");
  mkdirSync(join(fake, "self/attr"), { recursive: true });
  for (const name of ["exec", "current", "apparmor"]) writeFileSync(join(fake, "self/attr", name), "");
  for (const target of ["/proc/sys", "/proc/self/attr", "/proc/1"]) {
    const ran = await inside(own, ["-v", `${fake}:${target}`], "true");
    assert.equal([ran.code, /proc/.test(ran.stderr)], [125, true], `${target}: ${ran.stderr}`);
  }
  // A false /proc must not remove the process's protection.
  const ran = await inside(
    own,
    ["-v", `${fake}:/proc`],
    "cat /proc/self/attr/exec; dmesg >/dev/null 2>&1 && echo dmesg; mount -t proc proc /mnt 2>/dev/null && echo mounted; echo end",
  );
  assert.equal([ran.code, ran.stdout], [0, "end\n"]);
});

test.skipIf(reason, "CVE-2021-30465: a mount's target that another container swaps for a link to the host", async (t) => {
  const own = await engine(t);
  const marker = join("/var/tmp", `escape-${process.pid}`);
  mkdirSync(marker);
  t.cleanup(() => rmSync(marker, { recursive: true, force: true }));
  const swap = `cd /vol; mkdir -p a b; ln -sfn ${marker} link; while :; do mv -T a x 2>/dev/null; mv -T link a 2>/dev/null; mv -T a link 2>/dev/null; mv -T x a 2>/dev/null; done`;
  await own.ok(["run", "-d", "--name", "swapper", "--net", "none", "-v", "shared:/vol", "host:/", "sh", "-c", swap]);
  for (let at = 0; at < 40; at += 1)
    await own.run([
      ...none,
      "-v",
      "shared:/vol",
      "--tmpfs",
      "/vol/a/deep",
      "--tmpfs",
      "/vol/a",
      "host:/",
      "sh",
      "-c",
      `touch /vol/a/file /vol/a/deep/file`,
    ]);
  await own.ok(["rm", "-f", "swapper"]);
  assert.equal(
    existsSync(join(marker, "file")) || existsSync(join(marker, "deep")),
    false,
    "something of the container's lies on the host",
  );
  assert.not.match(readFileSync("/proc/self/mountinfo", "utf8"), new RegExp(marker));
});

test.skipIf(reason, "CVE-2025-31133, CVE-2025-52565, CVE-2025-52881: /dev/null, /dev/console and /proc that lead elsewhere", async (t) => {
  const own = await engine(t);
  const lies = temporaryDirectory(t, "/var/tmp");
  const victim = join(lies, "victim");
  writeFileSync(victim, "untouched");
  // A volume at /dev: its null and console are links to files that must not be written or shown.
  const dev = join(lies, "dev");
  mkdirSync(dev);
  for (const name of ["null", "console", "pts", "ptmx"]) symlinkSync("/proc/sys/kernel/core_pattern", join(dev, name));
  const pattern = readFileSync("/proc/sys/kernel/core_pattern", "utf8");
  const attempts =
    "echo '|/pwned' >/dev/null; echo '|/pwned' >/dev/console; echo '|/pwned' >/proc/sys/kernel/core_pattern; echo b >/proc/sysrq-trigger; cat /proc/kcore | head -c 1; cat /proc/keys";
  const ran = await inside(own, ["-v", `${dev}:/dev`, "-v", `${victim}:/victim`], `{ ${attempts}; } 2>/dev/null; true`);
  assert.is(readFileSync("/proc/sys/kernel/core_pattern", "utf8"), pattern);
  assert.is(readFileSync(victim, "utf8"), "untouched");
  assert.is(ran.stdout, "");
  // Sysctls and labels are written to the real /proc, whatever is mounted over the container's.
  const shared = await own.run([...none, "--sysctl", "kernel.shmmax=4096", "-v", `${lies}:/proc`, "host:/", "true"]);
  assert.ok([0, 125].includes(shared.code), shared.stderr);
  assert.is(readFileSync(victim, "utf8"), "untouched");
});

test.skipIf(reason, "what the host's kernel would take from any root: modules, time, other processes, raw disks, keys", async (t) => {
  const own = await engine(t);
  const script = `
    date -s 2001-01-01 >/dev/null && echo time
    echo 1 >/proc/sys/kernel/sysrq && echo sysctl
    mknod /tmp/disk b 254 0 && head -c 1 /tmp/disk | wc -c | grep -v 0 && echo disk
    head -c 1 /dev/mem && echo memory
    [ ! -e /proc/${process.pid} ] && kill -0 ${process.pid} && echo signalled
    nsenter -t 1 -m true && [ "$(readlink /proc/1/ns/mnt)" != "$(readlink /proc/self/ns/mnt)" ] && echo entered
    [ "$(stat -c %d:%i /proc/1/root/.)" = "$(stat -c %d:%i /)" ] || echo "another root"
    hostname other && echo named
    insmod /dev/null && echo module
    echo end`;
  const ran = await inside(own, [], `exec 2>/dev/null\n${script}`);
  assert.equal(ran.stdout, "end\n");
});
