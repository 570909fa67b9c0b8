/** What a driver holds on the host: mounts, devices and subvolumes, and the files in its own directories. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, statfsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { conformanceEngine } from "../plugin-subject.ts";

export interface Held {
  /** One line each: a mount, a loop device, a device of the device mapper, a subvolume of btrfs, a quota group without a subvolume. */
  readonly mounts: readonly string[];
  /** The number of files, directories included. */
  readonly files: number;
}

/** `directory`: all of the driver's directories are below it. */
export function heldBelow(directory: string): Held {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(directory));
  const devices = readdirSync("/sys/block").flatMap((name) => {
    const backing = read(join("/sys/block", name, "loop/backing_file"));
    const mapped = read(join("/sys/block", name, "dm/name"));
    return backing.startsWith(directory) || mapped.includes(conformanceEngine) ? [`${name} ${backing}${mapped}`.trim()] : [];
  });
  return { mounts: [...mounts, ...devices, ...subvolumes(directory)], files: readdirSync(directory, { recursive: true }).length };
}

const btrfsMagic = 0x9123683e;

/** Those below the directory, and the quota groups of the file system whose subvolume is gone. */
function subvolumes(directory: string): readonly string[] {
  if (statfsSync(directory).type !== btrfsMagic) return [];
  const lines = (...words: readonly string[]): readonly string[] => {
    const { status, stdout } = spawnSync("btrfs", [...words, directory], { encoding: "utf8" });
    return status === 0 ? stdout.split("\n").filter(Boolean) : [];
  };
  const all = [...lines("subvolume", "list"), ...lines("subvolume", "list", "-d")];
  const ids = new Set(["5", ...all.flatMap((line) => /^ID (\d+)/.exec(line)?.[1] ?? [])]);
  const below = `${basename(dirname(directory))}/${basename(directory)}/`;
  const groups = lines("qgroup", "show", "--raw").flatMap((line) => /^0\/(\d+)\s/.exec(line)?.[1] ?? []);
  return [
    ...all.filter((line) => line.includes(below)).map((line) => `subvolume ${line.slice(line.indexOf(below))}`),
    ...groups.filter((id) => !ids.has(id)).map((id) => `quota group 0/${id}`),
  ];
}

/** Empty, if there is no such file. A device may go while it is looked at. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}
