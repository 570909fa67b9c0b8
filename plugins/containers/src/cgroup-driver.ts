/**
 * Who owns the cgroup tree. `cgroupfs`: the engine creates its own directory at the top. `systemd`: on a host that systemd manages, systemd
 * makes each container's shim a scope and delegates it to the engine; the container's cgroup lies inside. So systemd knows every container
 * (`systemd-cgls`) and never removes its limits. Docker's `native.cgroupdriver`. Sources: systemd's CGROUP_DELEGATION.md,
 * org.freedesktop.systemd1(5).
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type Call, type Container, fail, type HostToolkit } from "@tsbox/kernel";
import { insideScope, ownSlice, scopeName } from "./groups.ts";
import { cgroupsPath } from "./spec/limits.ts";

export type CgroupDriverName = "cgroupfs" | "systemd";

export interface CgroupDriver {
  /** The path of the container's cgroup, as in the runtime spec. `shimPid`: the process id of its shim. */
  place(call: Call, container: Container, shimPid: number): Promise<string>;
}

export function cgroupDriver(name: CgroupDriverName, engineId: string, host: HostToolkit): CgroupDriver {
  if (name === "cgroupfs") return { place: async (_call, { id, config }) => cgroupsPath(engineId, id, config) };
  return { place: (call, container, shimPid) => placeInScope(call, host, engineId, container, shimPid) };
}

const moveTimeout = 5_000;

/**
 * Creates one scope per start, because the scope of an earlier start may not be gone yet. systemd removes the scope when its last process,
 * the shim, has ended.
 */
async function placeInScope(call: Call, host: HostToolkit, engineId: string, container: Container, shimPid: number): Promise<string> {
  const scope = scopeName({ engineId }, container.id, shimPid);
  const slice = container.config.cgroupParent || ownSlice;
  if (!slice.endsWith(".slice"))
    throw fail("InvalidArgument", `cgroup-parent ${slice}: with systemd as cgroup driver it must be the name of a slice, as tsbox.slice`);
  const properties = [
    ["Description", "s", `tsbox container ${container.name}`],
    ["Slice", "s", slice],
    ["PIDs", "au", "1", String(shimPid)],
    ["Delegate", "b", "true"],
    ["DefaultDependencies", "b", "false"],
    ["CollectMode", "s", "inactive-or-failed"],
  ];
  const manager = ["org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"];
  const { exitCode, stderr } = await host.run(call, {
    argv: [
      "busctl",
      "call",
      ...manager,
      "StartTransientUnit",
      "ssa(sv)a(sa(sv))",
      scope,
      "fail",
      String(properties.length),
      ...properties.flat(),
      "0",
    ],
    environment: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
    workingDirectory: "/",
  });
  if (exitCode !== 0)
    throw fail(
      "FailedPrecondition",
      `systemd makes no scope for the container: ${Buffer.from(stderr).toString().trim()}; is systemd this host's init, with its bus? Else take cgroupfs as cgroup driver`,
    );
  const path = await moved(shimPid, scope);
  // A cgroup v2 directory that has processes can't set limits for its children, so the shim moves into a child.
  const own = join("/sys/fs/cgroup", path, "supervisor");
  if (host.cgroups.layout === "v2") {
    mkdirSync(own, { recursive: true });
    writeFileSync(join(own, "cgroup.procs"), String(shimPid));
  }
  return join(path, insideScope);
}

/** Waits until the process is in the scope: systemd answers before it has moved it. */
async function moved(pid: number, scope: string): Promise<string> {
  for (let waited = 0; waited < moveTimeout; waited += 5) {
    const path = new RegExp(`^(?:0:|\\d+:name=systemd):(/.*/${scope})$`, "m").exec(readFileSync(`/proc/${pid}/cgroup`, "utf8"))?.[1];
    if (path !== undefined) return path;
    await pause(5);
  }
  throw fail("DeadlineExceeded", `systemd has not moved process ${pid} into ${scope} within ${moveTimeout / 1000} s`);
}
