/**
 * Objects that a test may leave on a host. Other processes work on the same machine, so a snapshot contains only objects with one of the
 * markers (an engine's id, a temporary directory) in their name, path or command line.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";

export interface HostSnapshot {
  readonly markers: readonly string[];
  /** One line each: the kind and the object. */
  readonly things: ReadonlySet<string>;
}

/** Without a marker everything counts: only for a private namespace or machine. */
export function hostSnapshot(...markers: readonly string[]): HostSnapshot {
  const ours = (text: string): boolean => markers.length === 0 || markers.some((marker) => text.includes(marker));
  const things = [
    ...mounts().map((line) => `mount ${line}`),
    ...names("/run/netns").map((name) => `netns ${name}`),
    ...networkLinks().map((name) => `link ${name}`),
    ...tables().map((line) => `nft ${line}`),
    ...cgroups().map((path) => `cgroup ${path}`),
    ...loops().map((line) => `loop ${line}`),
    ...processes().map((line) => `process ${line}`),
  ];
  return { markers, things: new Set(things.filter(ours)) };
}

/**
 * Some objects disappear a moment after their owner (a veth 26 ms after its namespace), so this checks again for up to `timeout`
 * milliseconds.
 */
export async function assertNothingLeft(before: HostSnapshot, timeout = 5_000): Promise<void> {
  const end = Date.now() + timeout;
  for (;;) {
    const left = [...hostSnapshot(...before.markers).things].filter((thing) => !before.things.has(thing));
    if (left.length === 0) return;
    if (Date.now() > end) assert.fail(`left on the host:\n${left.join("\n")}`);
    await pause(20);
  }
}

/** Names of the interfaces in this network namespace. /sys/class/net shows those of the namespace in which sysfs was mounted. */
export function networkLinks(): string[] {
  return lines("/proc/self/net/dev").flatMap((line) => /^ *([^\s:]+):/.exec(line)?.[1] ?? []);
}

function mounts(): string[] {
  return lines("/proc/self/mountinfo").map((line) => line.split(" ").slice(3).join(" "));
}

function tables(): string[] {
  const nft = spawnSync("nft", ["list", "tables"], { encoding: "utf8" });
  return nft.status === 0 ? nft.stdout.split("\n").filter((line) => line !== "") : [];
}

function cgroups(): string[] {
  const found: string[] = [];
  const roots = lines("/proc/self/mountinfo")
    .map((line) => line.split(" "))
    .filter((fields) => fields.includes("cgroup") || fields.includes("cgroup2"))
    .flatMap((fields) => fields[4] ?? []);
  const walk = (path: string): void => {
    for (const name of directories(path)) {
      found.push(`${path}/${name}`);
      walk(`${path}/${name}`);
    }
  };
  for (const root of new Set(roots)) walk(root);
  return found;
}

function loops(): string[] {
  return names("/sys/block")
    .filter((name) => name.startsWith("loop"))
    .flatMap((name) => lines(`/sys/block/${name}/loop/backing_file`).map((file) => `${name} ${file}`));
}

function processes(): string[] {
  return names("/proc")
    .filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
    .filter((pid) => !zombie(pid))
    .map((pid) =>
      [pid, lines(`/proc/${pid}/cmdline`).join("").replaceAll("\0", " ").trim(), link(`/proc/${pid}/exe`), link(`/proc/${pid}/cwd`)].join(
        " ",
      ),
    );
}

/** PID 1 may take seconds to reap an orphan: a dead process is no leak. */
function zombie(pid: string): boolean {
  return lines(`/proc/${pid}/status`).some((line) => /^State:\s+[ZX]/.test(line));
}

function names(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function directories(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? entry.name : []));
  } catch {
    return [];
  }
}

function lines(path: string): string[] {
  try {
    return readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line !== "");
  } catch {
    return [];
  }
}

function link(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
