/**
 * Finds containers' cgroups by name when there is no shim to ask: in the engine's own cgroup, below the operator's `--cgroup-parent`, or in
 * a scope of systemd (cgroup-driver.ts).
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { readdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import type { Container, ContainerConfig, ContainerId } from "@tsbox/kernel";

interface Owner {
  readonly engineId: string;
}

interface Known {
  readonly records: { all(): readonly Pick<Container, "id" | "config">[] };
}

export interface GroupOwner {
  readonly id: ContainerId;
  readonly cgroupParent: ContainerConfig["cgroupParent"];
}

export const ownerOf = ({ id, config }: Pick<Container, "id" | "config">): GroupOwner => ({ id, cgroupParent: config.cgroupParent });

/** The name of the container's own cgroup in its scope. */
export const insideScope = "container";
export const ownSlice = "tsbox.slice";

/** The name of systemd's scope for one start. It contains the whole id, by which the launcher recognises the container's processes. */
export function scopeName({ engineId }: Owner, id: ContainerId, shimPid: number): string {
  return `tsbox-${engineId}-${id}-${shimPid}.scope`;
}

/** The path of a slice. Slices are nested by name: `a-b.slice` is in `a.slice`. */
export function slicePath(slice: string): string {
  const parts = slice
    .replace(/\.slice$/, "")
    .split("-")
    .filter(Boolean);
  return join("/", ...parts.map((_, at) => `${parts.slice(0, at + 1).join("-")}.slice`));
}

/** The containers of this engine that have a cgroup, with or without a record. */
export function idsWithGroups(engine: Owner & Known, mounts: readonly string[] = cgroupMounts()): Set<ContainerId> {
  const ids = new Set<ContainerId>();
  const records = engine.records.all();
  const slices = new Set([ownSlice, ...records.map(({ config }) => config.cgroupParent).filter(isSlice)]);
  for (const mount of mounts) {
    for (const id of idsIn(join(mount, ownDirectory(engine)))) ids.add(id);
    for (const slice of slices)
      for (const name of directoriesIn(join(mount, slicePath(slice)))) {
        const id = scopeForm(engine).exec(name)?.[1];
        if (id !== undefined) ids.add(id as ContainerId);
      }
    // A cgroup below the operator's parent shows no engine, only the container's id: it is searched by record.
    for (const { id, config } of records) if (config.cgroupParent !== "" && existsSync(join(mount, config.cgroupParent, id))) ids.add(id);
  }
  return ids;
}

/** The cgroups of one container: one per hierarchy, and with systemd also one per start whose scope still exists. */
export function groupsOf(engine: Owner, { id, cgroupParent }: GroupOwner, mounts: readonly string[] = cgroupMounts()): readonly string[] {
  const slice = slicePath(isSlice(cgroupParent) ? cgroupParent : ownSlice);
  const isOwn = (name: string): boolean => scopeForm(engine).exec(name)?.[1] === id;
  return mounts.flatMap((mount) => [
    join(mount, cgroupParent === "" ? ownDirectory(engine) : cgroupParent, id),
    ...directoriesIn(join(mount, slice))
      .filter(isOwn)
      .map((scope) => join(mount, slice, scope, insideScope)),
  ]);
}

/** The processes in a container's cgroup and in those that the container has created below it. */
export function processesIn(groups: readonly string[]): readonly number[] {
  for (const group of groups) {
    const pids = [group, ...below(group)].flatMap(pidsOf);
    if (pids.length > 0) return pids;
  }
  return [];
}

/** Removes a cgroup and those below it. A cgroup with processes stays. */
export async function removeGroup(group: string): Promise<void> {
  const entries = await readdir(group, { recursive: true, withFileTypes: true }).catch(() => []);
  const inside = entries.filter((entry) => entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
  for (const one of [...inside.sort().reverse(), group]) await rmdir(one).catch(() => {});
}

/** The engine's own cgroup in each hierarchy. */
export function ownDirectories(engine: Owner): readonly string[] {
  return cgroupMounts().map((mount) => join(mount, ownDirectory(engine)));
}

/** The ids of the containers that have a cgroup in this directory. */
export function idsIn(directory: string): readonly ContainerId[] {
  return directoriesIn(directory).filter((name): name is ContainerId => /^[0-9a-f]{64}$/.test(name));
}

const isSlice = (parent: string): boolean => parent.endsWith(".slice");

const ownDirectory = ({ engineId }: Owner): string => `tsbox-${engineId}`;

const scopeForm = ({ engineId }: Owner): RegExp => new RegExp(`^tsbox-${engineId}-([0-9a-f]{64})-\\d+\\.scope$`);

function cgroupMounts(): readonly string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(" - cgroup"))
    .map((line) => line.split(" ")[4] ?? "");
}

function directoriesIn(parent: string): readonly string[] {
  try {
    return readdirSync(parent, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch {
    return [];
  }
}

function below(group: string): readonly string[] {
  return directoriesIn(group).flatMap((name) => [join(group, name), ...below(join(group, name))]);
}

function pidsOf(group: string): readonly number[] {
  try {
    return readFileSync(join(group, "cgroup.procs"), "utf8").split("\n").filter(Boolean).map(Number);
  } catch {
    // Not in this hierarchy, or gone.
    return [];
  }
}
