/** Rules for a container's isolation: namespaces, root, masks, capabilities, seccomp, limits. */
import { readlinkSync } from "node:fs";
import { expect, type Rule } from "../rule.ts";
import { show } from "./process-rules.ts";
import { script, withLinux, withProcess } from "./spec.ts";
import type { ExecWorld } from "./world.ts";

const mebibyte = 1 << 20;

export const isolationRules: readonly Rule<ExecWorld>[] = [
  {
    id: "exec/own-namespaces",
    contract: "oci: config-linux.md#namespaces",
    title: "each namespace that is asked for is a new one",
    needs: ["processes"],
    async run(world) {
      const kinds = ["pid", "net", "ipc", "uts", "mnt", "cgroup"];
      const { stdout } = await world.run(world.bundle(script(`for kind in ${kinds.join(" ")}; do readlink /proc/self/ns/$kind; done`)));
      for (const [at, shown] of stdout.trim().split("\n").entries()) {
        const kind = kinds[at] ?? "";
        expect(shown.startsWith(`${kind}:`) && shown !== readlinkSync(`/proc/self/ns/${kind}`), `${kind} is the host's: ${shown}`);
      }
    },
  },
  {
    id: "exec/namespace-by-path",
    contract: "oci: config-linux.md#namespaces",
    title: "a namespace that is given by path is joined",
    needs: ["processes"],
    async run(world) {
      const path = await world.networkNamespace();
      const spec = script("readlink /proc/self/ns/net");
      const namespaces = (spec.linux?.namespaces ?? []).map(({ type }) => (type === "network" ? { type, path } : { type }));
      show(await world.run(world.bundle(withLinux(spec, { namespaces }))), `${readlinkSync(path)}\n`);
    },
  },
  {
    id: "exec/first-process",
    contract: "oci: config-linux.md#namespaces",
    title: "in its pid namespace the process is the first, and sees no other",
    async run(world) {
      show(await world.run(world.bundle(script("echo $$; cd /proc; for each in [0-9]*; do echo $each; done"))), "1\n1\n");
    },
  },
  {
    id: "exec/hostname",
    contract: "oci: config.md#hostname",
    title: "the hostname is the spec's, inside alone",
    async run(world) {
      show(await world.run(world.bundle(script("hostname"))), "inside\n");
    },
  },
  {
    id: "exec/root",
    contract: "oci: config.md#root",
    title: "the root is the bundle's, and there is no way out of it",
    async run(world) {
      show(await world.run(world.bundle(script("cat /etc/mark; ls -d /../../../etc/mark"))), "of the image\n/../../../etc/mark\n");
    },
  },
  {
    id: "exec/read-only-root",
    contract: "oci: config.md#root",
    title: "a read-only root can't be written to",
    async run(world) {
      const spec = { ...script("echo x 2>/dev/null > /written && echo written; true"), root: { path: "rootfs", readonly: true } };
      show(await world.run(world.bundle(spec)), "");
    },
  },
  {
    id: "exec/masked-paths",
    contract: "oci: config-linux.md#masked-paths",
    title: "masked paths show nothing",
    async run(world) {
      show(await world.run(world.bundle(script("cat /proc/keys; ls -A /sys/firmware; cat /etc/mark"))), "of the image\n");
    },
  },
  {
    id: "exec/read-only-paths",
    contract: "oci: config-linux.md#readonly-paths",
    title: "read-only paths can't be written to",
    async run(world) {
      show(await world.run(world.bundle(script("(echo 1 > /proc/sys/kernel/domainname) 2>/dev/null && echo written; true"))), "");
    },
  },
  {
    id: "exec/capabilities",
    contract: "oci: config.md#linux-process",
    title: "capabilities are the spec's and no more",
    async run(world) {
      const few = ["CAP_CHOWN", "CAP_KILL"];
      const spec = withProcess(script("grep -E 'Cap(Prm|Eff|Bnd|Amb)' /proc/self/status"), {
        capabilities: { bounding: few, effective: few, permitted: few },
      });
      const [some, none] = ["0000000000000021", "0000000000000000"];
      show(await world.run(world.bundle(spec)), `CapPrm:\t${some}\nCapEff:\t${some}\nCapBnd:\t${some}\nCapAmb:\t${none}\n`);
    },
  },
  {
    id: "exec/no-new-privileges",
    contract: "oci: config.md#linux-process",
    title: "no new privileges are to be had where the spec says so",
    async run(world) {
      const spec = withProcess(script("grep NoNewPrivs /proc/self/status"), { noNewPrivileges: true });
      show(await world.run(world.bundle(spec)), "NoNewPrivs:\t1\n");
    },
  },
  {
    id: "exec/seccomp",
    contract: "oci: config-linux.md#seccomp",
    title: "the seccomp profile is in force",
    async run(world) {
      const seccomp = {
        defaultAction: "SCMP_ACT_ALLOW",
        architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
        syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 95 }],
      };
      const spec = withLinux(script("grep Seccomp: /proc/self/status; mkdir /made 2>/dev/null && echo made; true"), { seccomp });
      show(await world.run(world.bundle(spec)), "Seccomp:\t2\n");
    },
  },
  {
    id: "exec/memory-limit",
    contract: "oci: config-linux.md#memory",
    title: "a memory limit is set, and a process that exceeds it is killed: 137",
    async run(world) {
      const limited = (text: string) => withLinux(script(text), { resources: { memory: { limit: 16 * mebibyte, swap: 16 * mebibyte } } });
      const shown = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max";
      show(await world.run(world.bundle(limited(shown))), `${16 * mebibyte}\n`);
      const { code } = await world.run(world.bundle(limited("exec dd if=/dev/zero of=/dev/null bs=64M")));
      expect(code === 137, `64 MiB of 16: exit code ${code}`);
    },
  },
  {
    id: "exec/pids-limit",
    contract: "oci: config-linux.md#pids",
    title: "a limit on processes is set, and holds",
    async run(world) {
      const shown = "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max";
      const forks = "n=0; while [ $n -lt 20 ]; do sleep 100 & n=$((n+1)); done; echo all";
      const { stdout, code } = await world.run(
        world.bundle(withLinux(script(`${shown}; (${forks}) 2>/dev/null || exit 3`), { resources: { pids: { limit: 8 } } })),
      );
      expect(stdout === "8\n" && code === 3, `shows ${JSON.stringify(stdout)}, exit code ${code}`);
    },
  },
];
