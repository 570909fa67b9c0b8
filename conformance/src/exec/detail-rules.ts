/**
 * Details that programs and attackers notice: a process's limits, signals, single devices, single masks, sysctls, mount options, long
 * arguments.
 */
import { existsSync, readFileSync } from "node:fs";
import type { OciMount, OciSpec } from "@tsbox/kernel";
import { expect, type Rule } from "../rule.ts";
import { show } from "./process-rules.ts";
import { command, environment, script, withLinux, withProcess } from "./spec.ts";
import type { ExecWorld } from "./world.ts";

const mebibyte = 1 << 20;
/** Docker's masked paths. */
const masked = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];
const readOnly = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

const withMount = (spec: OciSpec, ...more: readonly OciMount[]): OciSpec => ({ ...spec, mounts: [...(spec.mounts ?? []), ...more] });
const rules = (...devices: readonly object[]): object => ({ resources: { devices: [{ allow: false, access: "rwm" }, ...devices] } });

export const detailRules: readonly Rule<ExecWorld>[] = [
  {
    id: "exec/umask",
    contract: "oci: config.md#user",
    title: "files are made with the usual umask, or the one that the spec names",
    async run(world) {
      show(await world.run(world.bundle(script("umask"))), "0022\n");
      show(await world.run(world.bundle(withProcess(script("umask"), { user: { uid: 0, gid: 0, umask: 0o077 } }))), "0077\n");
    },
  },
  {
    id: "exec/rlimits",
    contract: "oci: config.md#posix-process",
    title: "limits of a process are the spec's, soft and hard",
    async run(world) {
      const rlimits = [
        { type: "RLIMIT_NOFILE", soft: 100, hard: 200 },
        { type: "RLIMIT_CORE", soft: 0, hard: 0 },
      ];
      show(await world.run(world.bundle(withProcess(script("ulimit -Sn; ulimit -Hn; ulimit -c"), { rlimits }))), "100\n200\n0\n");
    },
  },
  {
    id: "exec/oom-score",
    contract: "oci: config.md#linux-process",
    title: "the out-of-memory score is the spec's",
    async run(world) {
      show(await world.run(world.bundle(withProcess(script("cat /proc/self/oom_score_adj"), { oomScoreAdj: 321 }))), "321\n");
    },
  },
  {
    id: "exec/signals",
    contract: "oci: config.md#process",
    title: "no signal is blocked, ignored or handled before the command says so",
    async run(world) {
      const zero = "0000000000000000";
      const { stdout } = await world.run(world.bundle(command("grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status")));
      expect(stdout === `SigBlk:\t${zero}\nSigIgn:\t${zero}\nSigCgt:\t${zero}\n`, stdout);
    },
  },
  {
    id: "exec/killed",
    contract: "ExitStatus.code",
    title: "a process that a signal ends is reported as 128 plus the signal",
    async run(world) {
      for (const signal of [9, 15, 6]) {
        const { code } = await world.run(world.bundle(script(`sh -c 'kill -${signal} $$'; exit $?`)));
        expect(code === 128 + signal, `signal ${signal} was seen as ${code}`);
      }
    },
  },
  {
    id: "exec/session",
    contract: "oci: config.md#process",
    title: "the first process leads a session and a process group of its own",
    async run(world) {
      show(await world.run(world.bundle(script("cut -d ' ' -f 5,6 /proc/$$/stat"))), "1 1\n");
    },
  },
  {
    id: "exec/unread-input",
    contract: "stdio, terminals, logs, attach, waiting and exit codes are the same for every format",
    title: "unread input blocks nothing",
    async run(world) {
      show(await world.run(world.bundle(script("echo done")), "x".repeat(4 * mebibyte)), "done\n");
    },
  },
  {
    id: "exec/orphans",
    contract: "oci: config-linux.md#namespaces",
    title: "what the command leaves running ends with it",
    async run(world) {
      const began = performance.now();
      show(await world.run(world.bundle(script("(sleep 600 & sleep 600 &) >/dev/null 2>&1 </dev/null; echo left"))), "left\n");
      expect(performance.now() - began < 300_000, "it waited for what was left");
    },
  },
  {
    id: "exec/long-words",
    contract: "oci: config.md#process",
    title: "long arguments and a large environment arrive whole",
    async run(world) {
      const long = "a".repeat(100_000);
      const many = Array.from({ length: 1000 }, (_, at) => `VARIABLE_${at}=${at}`);
      const spec = withProcess(command("sh", "-c", 'printf %s "$1" | wc -c; env | grep -c "^VARIABLE_"', "sh", long), {
        env: [...environment, ...many],
      });
      show(await world.run(world.bundle(spec)), "100000\n1000\n");
    },
  },
  {
    id: "exec/masks-one-by-one",
    contract: "oci: config-linux.md#masked-paths",
    title: "each masked path is empty, and can't be uncovered",
    async run(world) {
      const there = masked.filter((path) => existsSync(path));
      const look = there.map(
        (path) => `if [ -d ${path} ]; then ls -A ${path}; else head -c 1 ${path}; fi; umount ${path} 2>/dev/null && echo uncovered ${path}`,
      );
      show(await world.run(world.bundle(withLinux(script([...look, "echo end"].join("\n")), { maskedPaths: masked }))), "end\n");
    },
  },
  {
    id: "exec/read-only-one-by-one",
    contract: "oci: config-linux.md#readonly-paths",
    title: "nothing below a read-only path can be written to",
    async run(world) {
      const pattern = readFileSync("/proc/sys/kernel/core_pattern", "utf8");
      const writes = ["/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/sysrq-trigger", "/proc/irq/default_smp_affinity"];
      const attempts = writes.map((path) => `(echo 0 >${path}) 2>/dev/null && echo wrote ${path}`);
      show(await world.run(world.bundle(withLinux(script([...attempts, "echo end"].join("\n")), { readonlyPaths: readOnly }))), "end\n");
      expect(readFileSync("/proc/sys/kernel/core_pattern", "utf8") === pattern, "the host's core pattern was changed");
    },
  },
  {
    id: "exec/default-devices",
    contract: "oci: config-linux.md#default-devices",
    title: "the devices that the spec promises are there, for all users, and no other node is",
    async run(world) {
      const look =
        "cd /dev; for each in *; do [ -c $each -o -b $each ] && [ ! -L $each ] && [ ! $each -ef pts/ptmx ] && stat -c '%n %t:%T %a' $each; done; for each in fd stdin stdout stderr; do readlink $each; done";
      const nodes = ["full 1:7 666", "null 1:3 666", "random 1:8 666", "tty 5:0 666", "urandom 1:9 666", "zero 1:5 666"];
      show(
        await world.run(world.bundle(script(look))),
        `${[...nodes, "/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2"].join("\n")}\n`,
      );
    },
  },
  {
    id: "exec/device-node",
    contract: "oci: config-linux.md#devices",
    title: "a device that is asked for has its owner and mode",
    async run(world) {
      const devices = [{ path: "/dev/deep/er", type: "c", major: 1, minor: 3, fileMode: 0o640, uid: 7, gid: 8 }];
      show(await world.run(world.bundle(withLinux(script("stat -c '%t:%T %a %u:%g' /dev/deep/er"), { devices }))), "1:3 640 7:8\n");
    },
  },
  {
    id: "exec/device-rules",
    contract: "oci: config-linux.md#allowed-device-list",
    title: "a device is used as far as a rule lets it: not at all, to read, to write",
    unless: () => (existsSync("/dev/fuse") ? null : "this host has no fuse, a device that may be opened without harm"),
    async run(world) {
      const devices = [{ path: "/dev/fuse", type: "c", major: 10, minor: 229, fileMode: 0o666, uid: 0, gid: 0 }];
      const look = "(: </dev/fuse) 2>/dev/null && echo read; (: >>/dev/fuse) 2>/dev/null && echo write; echo end";
      for (const [access, shown] of [
        [null, "end\n"],
        ["r", "read\nend\n"],
        ["w", "write\nend\n"],
        ["rw", "read\nwrite\nend\n"],
      ] as const) {
        const rule = access === null ? [] : [{ allow: true, type: "c", major: 10, minor: 229, access }];
        show(await world.run(world.bundle(withLinux(script(look), { devices, ...rules(...rule) }))), shown);
      }
    },
  },
  {
    id: "exec/sysctl",
    contract: "oci: config-linux.md#sysctl",
    title: "sysctls of the container's own namespaces are set, inside alone",
    async run(world) {
      const before = readFileSync("/proc/sys/kernel/shmmax", "utf8");
      const sysctl = { "kernel.shmmax": "4096", "net.ipv4.ip_forward": "1" };
      show(
        await world.run(world.bundle(withLinux(script("cat /proc/sys/kernel/shmmax /proc/sys/net/ipv4/ip_forward"), { sysctl }))),
        "4096\n1\n",
      );
      expect(readFileSync("/proc/sys/kernel/shmmax", "utf8") === before, "the host's own was changed");
    },
  },
  {
    id: "exec/mount-options",
    contract: "oci: config.md#mounts",
    title: "mounts have their options: size, mode, and what may not be done there",
    async run(world) {
      const spec = withMount(
        script(
          "grep ' /small ' /proc/mounts | cut -d ' ' -f 3,4; stat -c %a /small; (dd if=/dev/zero of=/small/x bs=64k count=2 2>/dev/null) || echo full",
        ),
        {
          destination: "/small",
          type: "tmpfs",
          source: "tmpfs",
          options: ["nosuid", "nodev", "noexec", "size=64k", "mode=700"],
        },
      );
      const { stdout } = await world.run(world.bundle(spec));
      expect(/^tmpfs rw,nosuid,nodev,noexec,.*size=64k.*\n700\nfull\n$/.test(stdout), stdout);
    },
  },
  {
    id: "exec/bind-mount",
    contract: "oci: config.md#mounts",
    title: "a directory of the host is shown where it is asked for, and read-only where that is asked for",
    async run(world) {
      const bind = (destination: string, ...options: readonly string[]): OciMount => ({
        destination,
        type: "bind",
        source: "/proc/self/ns",
        options: ["rbind", ...options],
      });
      const source = world.bundle(script("true")).directory;
      const spec = withMount(
        script("echo x >/data/made; (echo x >/fixed/made2) 2>/dev/null && echo wrote; cat /fixed/made"),
        { ...bind("/data", "rw"), source },
        { ...bind("/fixed", "ro"), source },
      );
      show(await world.run(world.bundle(spec)), "x\n");
      expect(existsSync(`${source}/made`) && !existsSync(`${source}/made2`), "the host's directory has not what was written");
    },
  },
  {
    id: "exec/own-cgroup-view",
    contract: "oci: config-linux.md#namespaces",
    title: "in a cgroup namespace the container's own cgroup is the root, and can't be changed",
    needs: ["processes"],
    async run(world) {
      const look =
        "cut -d : -f 3 /proc/self/cgroup | sort -u; for file in $(find /sys/fs/cgroup -name cgroup.procs); do (echo 0 >$file) 2>/dev/null && echo moved by $file; done; true";
      show(await world.run(world.bundle(script(look))), "/\n");
    },
  },
  {
    id: "exec/cpu-limit",
    contract: "oci: config-linux.md#cpu",
    title: "a share and a quota of the processors are set",
    async run(world) {
      const look = "cd /sys/fs/cgroup; cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us 2>/dev/null || tr ' ' '\\n' <cpu.max";
      const cpu = { quota: 25_000, period: 50_000, shares: 512 };
      show(await world.run(world.bundle(withLinux(script(look), { resources: { cpu } }))), "25000\n50000\n");
    },
  },
  {
    id: "exec/user-namespace",
    contract: "oci: config-linux.md#user-namespace-mappings",
    title: "in a new user namespace the ids are the spec's",
    needs: ["processes"],
    async run(world) {
      const spec = script("id -u; tr -s ' ' </proc/self/uid_map | sed 's/^ //'");
      const maps = [
        { containerID: 0, hostID: 0, size: 1 },
        { containerID: 1, hostID: 100_001, size: 65_535 },
      ];
      const namespaces = [...(spec.linux?.namespaces ?? []), { type: "user" }];
      show(
        await world.run(world.bundle(withLinux(spec, { namespaces, uidMappings: maps, gidMappings: maps }))),
        "0\n0 0 1\n1 100001 65535\n",
      );
    },
  },
];
