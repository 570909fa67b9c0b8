/** Devices of the host that a container gets: the requested ones, and for a privileged container all of them. */
import { lstatSync, readdirSync, realpathSync, type Stats, statSync } from "node:fs";
import { join } from "node:path";
import { type ContainerConfig, type DeviceMap, fail, limits } from "@tsbox/kernel";
import type { DeviceRule } from "./defaults.ts";
import type { BlockDevices } from "./limits.ts";

/** An entry of `linux.devices` in the OCI runtime spec. */
export interface DeviceNode {
  readonly path: string;
  readonly type: "b" | "c";
  readonly major: number;
  readonly minor: number;
  readonly fileMode: number;
  readonly uid: number;
  readonly gid: number;
  /**
   * Not in the OCI spec: the host's node, if it has another path. In a user namespace no node can be created, and the runtime uses this
   * one.
   */
  readonly hostPath?: string;
}

/** Device nodes, and the rules that let the container use them. */
export interface Devices {
  readonly nodes: readonly DeviceNode[];
  readonly rules: readonly DeviceRule[];
}

/** Nodes that a container gets its own of; Docker leaves out the same ones. */
const own = new Set([
  "/dev/pts",
  "/dev/shm",
  "/dev/fd",
  "/dev/mqueue",
  "/dev/console",
  "/dev/ptmx",
  "/dev/.lxc",
  "/dev/.lxd-mounts",
  "/dev/.udev",
]);

/** `InvalidArgument`: the directory is larger than any with devices, so a wrong one. */
export function hostDevices(directory = "/dev"): readonly DeviceNode[] {
  const nodes: DeviceNode[] = [];
  let count = 0;
  const waiting = [directory];
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop())
    for (const name of namesIn(at)) {
      const path = join(at, name);
      if (own.has(path)) continue;
      count += 1;
      if (count > limits.mostDevices)
        throw fail("InvalidArgument", `${directory} has more than ${limits.mostDevices} files: give the devices one by one`);
      const stat = lstatSync(path, { throwIfNoEntry: false });
      if (stat?.isDirectory()) waiting.push(path);
      else if (stat?.isCharacterDevice()) nodes.push(node(path, "c", stat));
      else if (stat?.isBlockDevice()) nodes.push(node(path, "b", stat));
    }
  return nodes;
}

/** A directory that goes away meanwhile, or that nobody may read, has no devices. */
function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return [];
  }
}

/** A privileged container also gets all existing nodes of the host. */
export function devicesOf({ privileged, devices }: Pick<ContainerConfig, "privileged" | "devices">): Devices {
  const asked = mappedDevices(devices);
  return privileged ? { ...asked, nodes: [...hostDevices(), ...asked.nodes] } : asked;
}

/** A directory stands for all nodes below it. Links are followed, because they are the host's. `InvalidArgument`: the path is no device. */
export function mappedDevices(maps: readonly DeviceMap[]): Devices {
  const all = maps.flatMap(({ source, target, access }) => nodesAt(source, target).map((found) => ({ found, access })));
  return {
    nodes: all.map(({ found }) => found),
    rules: all.map(({ found: { type, major, minor }, access }) => ({ allow: true, type, major, minor, access })),
  };
}

function nodesAt(source: string, target: string): readonly DeviceNode[] {
  let path: string;
  let stat: Stats;
  try {
    path = realpathSync(source);
    stat = statSync(path);
  } catch {
    throw fail("InvalidArgument", `error gathering device information while adding custom device "${source}": no such file or directory`);
  }
  if (stat.isCharacterDevice() || stat.isBlockDevice()) return [node(target, stat.isBlockDevice() ? "b" : "c", stat, path)];
  const below = stat.isDirectory() ? hostDevices(path) : [];
  if (below.length === 0)
    throw fail("InvalidArgument", `error gathering device information while adding custom device "${source}": not a device node`);
  return below.map((found) => ({ ...found, path: join(target, found.path.slice(path.length)), hostPath: found.path }));
}

/** Parses a rule like `c 10:229 rwm`, which was validated when the container was created; `*` means every number. */
export function parseRule(rule: string): DeviceRule {
  const [type = "a", numbers = "*:*", access = "rwm"] = rule.split(" ");
  const [major = "*", minor = "*"] = numbers.split(":");
  return {
    allow: true,
    type: type as NonNullable<DeviceRule["type"]>,
    ...(major === "*" ? {} : { major: Number(major) }),
    ...(minor === "*" ? {} : { minor: Number(minor) }),
    access,
  };
}

/** `InvalidArgument`: a path does not exist, or is no block device. */
export function blockDevices(paths: readonly string[]): BlockDevices {
  return new Map(
    paths.map((path) => {
      const stat = statOf(path);
      if (!stat?.isBlockDevice())
        throw fail("InvalidArgument", `${path} is no block device of this host: a limit of input or output needs one`);
      return [path, numbersOf(stat)];
    }),
  );
}

/** Null: no file is there, or none can be: a path of a request may have any length. */
function statOf(path: string): Stats | null {
  try {
    return statSync(path);
  } catch {
    return null;
  }
}

function node(path: string, type: "b" | "c", stat: Stats, hostPath = path): DeviceNode {
  const { mode, uid, gid } = stat;
  const from = hostPath === path ? {} : { hostPath };
  return { path, type, ...numbersOf(stat), fileMode: mode & 0o7777, uid, gid, ...from };
}

/** Linux packs 12 bits of major and 20 of minor (makedev(3)). */
export const numbersOf = ({ rdev }: Stats): { readonly major: number; readonly minor: number } => ({
  major: (rdev >> 8) & 0xfff,
  minor: (rdev & 0xff) | ((rdev >> 12) & 0xfff00),
});
