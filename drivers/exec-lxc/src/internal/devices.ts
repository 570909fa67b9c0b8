/** The container's /dev. */
import { dirname, normalize } from "node:path";
import type { OciLinux, OciSpec } from "@tsbox/kernel";
import { isMapped } from "./mounts.ts";
import { escaped, plain, quoted, unsupported } from "./words.ts";

interface DeviceNode {
  readonly path: string;
  /** A word of the engine's own: the host's node, which a user namespace gets. */
  readonly hostPath?: string;
  readonly type: string;
  readonly major?: number;
  readonly minor?: number;
  readonly fileMode?: number | null;
  readonly uid?: number | null;
  readonly gid?: number | null;
}

/** The commands that complete the container's own /dev, below the root. Nobody can make a device node in a user namespace. */
export function devCommands({ linux, process }: OciSpec): readonly string[] {
  const own = isMapped(linux ?? {}) ? [] : nodesOf(linux ?? {});
  const nodes = own.flatMap(({ path, type, major = 0, minor = 0, fileMode, uid, gid }) => {
    const at = inRoot(path);
    const mode = ((fileMode ?? 0o666) & 0o7777).toString(8);
    const numbers = type === "p" ? "" : ` ${major} ${minor}`;
    return [
      `mkdir -p ${inRoot(dirname(path))}`,
      `rm -f ${at}`,
      `mknod -m ${mode} ${at} ${type === "u" ? "c" : type}${numbers}`,
      `chown ${uid ?? 0}:${gid ?? 0} ${at}`,
    ];
  });
  // The first terminal of the container's own file system of terminals is its first process's.
  return process.terminal === true ? [...nodes, `ln -sf /dev/pts/0 ${inRoot("/dev/console")}`] : nodes;
}

const nodesOf = (linux: OciLinux): readonly DeviceNode[] => (linux.devices ?? []) as readonly DeviceNode[];

/** A hook that LXC runs in the container's namespaces. Its commands are part of the line: that user may not read the engine's files. */
export const hook = (name: string, commands: readonly string[]): readonly string[] =>
  commands.length === 0 ? [] : [`lxc.hook.${name} = sh -c ${quoted(["set -e", ...commands].join("; "))}`];

export function nodeLines(spec: OciSpec): readonly string[] {
  const { linux, mounts = [] } = spec;
  const nodes = nodesOf(linux ?? {});
  // The hook runs with the host's tools before the root is the container's: a link in somebody else's directory would lead out of it.
  const foreign = mounts.map(({ destination }) => plain(destination)).filter((target) => target.startsWith("/dev/"));
  const wrong = nodes.find(
    ({ path }) =>
      !path.startsWith("/dev/") || normalize(path) !== path || foreign.some((target) => path === target || path.startsWith(`${target}/`)),
  );
  if (wrong !== undefined) throw unsupported(`the device node ${wrong.path}, which is not in the container's own /dev`);
  const bound = isMapped(linux ?? {}) ? nodes : [];
  return [
    ...bound.map(
      ({ path, hostPath = path }) => `lxc.mount.entry = ${escaped(hostPath)} ${escaped(path.slice(1))} none bind,create=file 0 0`,
    ),
    ...hook("autodev", devCommands(spec)),
  ];
}

/** LXC makes /dev with its default devices, /dev/pts and the links to descriptors by itself, where the spec asks for a /dev of its own. */
export function devLines({ mounts = [] }: OciSpec): readonly string[] {
  const dev = mounts.find(({ destination }) => plain(destination) === "/dev");
  if (dev === undefined || dev.type !== "tmpfs") return ["lxc.autodev = 0"];
  const size = dev.options?.map((option) => /^size=(\d+)k$/.exec(option)?.[1]).find((found) => found !== undefined);
  return ["lxc.autodev = 1", `lxc.autodev.tmpfs.size = ${size === undefined ? 64 << 20 : Number(size) * 1024}`];
}

const inRoot = (path: string): string => `"$LXC_ROOTFS_MOUNT"${quoted(path)}`;
