/**
 * Linux 6.1, the oldest supported kernel, with cgroup v2 only: an engine in a User-Mode-Linux guest. This file tests the basics of a `run`;
 * the rest is in ../full/guest-uml.test.ts.
 */
import { scenes } from "../src/guest.ts";

const none = "tsbox run --rm --net none";
const mebibyte = 1 << 20;

scenes("Linux 6.1, cgroup v2 (User-Mode-Linux)", "uml", [
  { title: "it runs", script: `${none} host:/ echo hello`, code: 0, stdout: "hello\n" },
  {
    title: "the exit code and both streams are the command's own",
    script: `${none} host:/ sh -c 'echo out; echo err >&2; exit 7'`,
    code: 7,
    stdout: "out\n",
    stderr: "err\n",
  },
  {
    title: "limits are in the container's own cgroup",
    script: `${none} -m 32m --memory-swap 48m --pids-limit 9 --cpus 0.5 host:/ sh -c 'cd /sys/fs/cgroup; cat memory.max memory.swap.max pids.max cpu.max /proc/self/cgroup'`,
    code: 0,
    stdout: `${32 * mebibyte}\n${16 * mebibyte}\n9\n50000 100000\n0::/\n`,
  },
  {
    title: "that it was for memory is in its record",
    script:
      "tsbox run --name big --net none -m 16m host:/ dd if=/dev/zero of=/dev/null bs=64M; tsbox inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}}' big; tsbox rm big",
    code: 0,
    stdout: "true 137\nbig\n",
  },
  {
    title: "the kernel is the guest's, and the filter is in force",
    script: `${none} host:/ sh -c 'uname -r; grep Seccomp: /proc/self/status'`,
    code: 0,
    stdout: /^6\.1\.\d+\nSeccomp:\t2\n$/,
  },
  {
    title: "devices by rule, with eBPF in the place of v1's lists",
    script: `for rule in 'c 1:11 r' 'c 10:229 rw'; do ${none} --device-cgroup-rule "$rule" host:/ sh -c 'mknod /tmp/fuse c 10 229; head -c 0 /tmp/fuse 2>/dev/null && echo used'; done`,
    code: 0,
    stdout: "used\n",
  },
  {
    title:
      "exec: into the same namespaces and cgroup, with the command's own exit code, also where the container has made groups of its own",
    script: [
      "tsbox run -d --privileged --name in --net none host:/ sh -c 'mkdir /sys/fs/cgroup/below && echo $$ > /sys/fs/cgroup/below/cgroup.procs; echo ready; exec sleep 1000' >/dev/null",
      'until [ "$(tsbox logs in)" = ready ]; do sleep 0.1; done',
      "echo through | tsbox exec -i in cat",
      "tsbox exec in sh -c 'readlink /proc/self/ns/pid /proc/1/ns/pid' | uniq | wc -l",
      "tsbox exec in sh -c 'exit 6'; echo $?",
      "tsbox exec in no-such-command 2>/dev/null; echo $?",
      "tsbox pause in >/dev/null; tsbox exec in true 2>/dev/null; echo $?; tsbox unpause in >/dev/null",
      "tsbox rm -f in",
    ].join("\n"),
    code: 0,
    stdout: "through\n1\n6\n127\n1\nin\n",
  },
  {
    title: "top, stats and live limits of cgroup v2",
    script: [
      "tsbox run -d --name box --net none -m 64m host:/ sleep 1000 >/dev/null",
      "tsbox top box -o pid,comm | tail -n 1 | grep -o sleep",
      "tsbox stats --no-stream --format '{{.Name}} {{.MemUsage}} {{.PIDs}}' box | sed 's/ .* \\// #/'",
      "tsbox update -m 96m --memory-swap 128m --memory-reservation 16m --cpus 0.25 --pids-limit 40 --cpu-shares 512 box",
      "tsbox exec box sh -c 'cd /sys/fs/cgroup; cat memory.max memory.swap.max memory.low cpu.max pids.max cpu.weight'",
      "tsbox rm -f box",
    ].join("\n"),
    code: 0,
    stdout: `sleep\nbox # 64MiB 1\nbox\n${96 * mebibyte}\n${32 * mebibyte}\n${16 * mebibyte}\n25000 100000\n40\n20\nbox\n`,
  },
  {
    title: "another container's processes, in a /proc that this kernel does not let another process mount",
    script: `tsbox run -d --name peer --net none host:/ sleep 999 >/dev/null; ${none} --pid container:peer host:/ sh -c 'cat /proc/1/comm; mount | grep -c "^proc on /proc "; head -c 1 /proc/kcore | wc -c'; tsbox rm -f peer`,
    code: 0,
    stdout: "sleep\n1\n0\npeer\n",
  },
  { title: "a command that is not there: 127", script: `${none} host:/ no-such-command`, code: 127, stdout: "" },
  {
    title: "when the engine has stopped no cgroup is left",
    script: "tsbox daemon stop && find /sys/fs/cgroup -name 'tsbox*'",
    code: 0,
    stdout: "",
  },
]);
