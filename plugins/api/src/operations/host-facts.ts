/** The host's abilities in Docker's `info`, all checked on this host. */
import { existsSync, readFileSync } from "node:fs";
import type { ContainersService, HostToolkit, Json } from "@tsbox/kernel";

function text(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** The cgroup controllers that this process, and so a container, can use. */
function controllers(layout: HostToolkit["cgroups"]["layout"]): ReadonlySet<string> {
  if (layout === "v2") return new Set(text("/sys/fs/cgroup/cgroup.controllers").trim().split(/\s+/));
  return new Set(
    text("/proc/self/cgroup")
      .split("\n")
      .flatMap((line) => (line.split(":")[1] ?? "").split(",")),
  );
}

/** Docker's `MemoryLimit` … `IPv4Forwarding`, `SecurityOptions` and `Warnings`. */
export function hostFacts(
  layout: HostToolkit["cgroups"]["layout"],
  { userns, selinux }: Pick<ContainersService, "userns" | "selinux">,
): Json {
  const has = controllers(layout);
  const v1 = layout !== "v2";
  const limits = {
    MemoryLimit: has.has("memory"),
    SwapLimit: v1 ? existsSync("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes") : has.has("memory"),
    CpuCfsPeriod: v1 ? existsSync("/sys/fs/cgroup/cpu/cpu.cfs_period_us") : has.has("cpu"),
    CpuCfsQuota: v1 ? existsSync("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") : has.has("cpu"),
    CPUShares: has.has("cpu"),
    CPUSet: has.has("cpuset"),
    PidsLimit: has.has("pids"),
    IPv4Forwarding: text("/proc/sys/net/ipv4/ip_forward").trim() === "1",
    OomKillDisable: v1 && existsSync("/sys/fs/cgroup/memory/memory.oom_control"),
  };
  const apparmor = text("/sys/module/apparmor/parameters/enabled").startsWith("Y");
  const security = [
    "seccomp,profile=builtin",
    "cgroupns",
    ...(apparmor ? ["apparmor"] : []),
    ...(selinux ? ["selinux"] : []),
    ...(userns === "private" ? ["userns"] : []),
  ];
  return { ...limits, SecurityOptions: security.map((name) => `name=${name}`), Warnings: warnings(limits) };
}

const warningOf: Readonly<Record<string, string>> = {
  MemoryLimit: "No memory limit support",
  SwapLimit: "No swap limit support",
  CpuCfsQuota: "No cpu cfs quota support",
  CpuCfsPeriod: "No cpu cfs period support",
  CPUShares: "No cpu shares support",
  CPUSet: "No cpuset support",
  PidsLimit: "No pids limit support",
  IPv4Forwarding: "IPv4 forwarding is disabled",
};

function warnings(facts: Readonly<Record<string, boolean>>): readonly string[] | null {
  const lacking = Object.entries(warningOf).filter(([fact]) => facts[fact] === false);
  return lacking.length === 0 ? null : lacking.map(([, words]) => `WARNING: ${words}`);
}
