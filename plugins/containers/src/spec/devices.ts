/** The host's devices, which a privileged container gets as they are. Docker leaves out the same directories: they are the container's own. */
import { lstatSync, readdirSync, type Stats } from "node:fs";
import { join } from "node:path";

/** As in the OCI runtime spec, `linux.devices`. */
export interface DeviceNode {
  readonly path: string;
  readonly type: "b" | "c";
  readonly major: number;
  readonly minor: number;
  readonly fileMode: number;
  readonly uid: number;
  readonly gid: number;
}

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

export function hostDevices(directory = "/dev"): readonly DeviceNode[] {
  return readdirSync(directory).flatMap((name): readonly DeviceNode[] => {
    const path = join(directory, name);
    if (own.has(path)) return [];
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat?.isDirectory()) return hostDevices(path);
    if (stat?.isCharacterDevice()) return [node(path, "c", stat)];
    return stat?.isBlockDevice() ? [node(path, "b", stat)] : [];
  });
}

/** Linux packs 12 bits of major and 20 of minor (makedev(3)). */
function node(path: string, type: "b" | "c", { rdev, mode, uid, gid }: Stats): DeviceNode {
  return { path, type, major: (rdev >> 8) & 0xfff, minor: (rdev & 0xff) | ((rdev >> 12) & 0xfff00), fileMode: mode & 0o7777, uid, gid };
}
