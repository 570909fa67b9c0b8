/** Checks what the driver needs on this host: root, the namespaces of a container, and a known cgroup layout. */
import { existsSync } from "node:fs";
import type { Probe } from "@tsbox/kernel";

const namespaces = ["mnt", "pid", "net", "ipc", "uts", "cgroup"];

export function probe(layout: string, root: boolean = process.geteuid?.() === 0): Probe {
  if (!root) return { usable: false, reason: "containers of exec-native need root", hint: "run the engine as root" };
  const missing = namespaces.filter((name) => !existsSync(`/proc/self/ns/${name}`));
  if (missing.length > 0) {
    const reason = `this kernel lacks the namespaces ${missing.join(", ")}`;
    return { usable: false, reason, hint: "use a kernel of 6.1 or later with CONFIG_NAMESPACES" };
  }
  if (!["v1", "hybrid", "v2"].includes(layout)) {
    return { usable: false, reason: "no cgroups are mounted", hint: "mount -t cgroup2 none /sys/fs/cgroup" };
  }
  return { usable: true };
}
