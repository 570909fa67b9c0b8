/** What a driver holds on the host: mounts and devices, and the files in its own directories. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { conformanceEngine } from "../plugin-subject.ts";

export interface Held {
  /** One line each: a mount, a loop device, a device of the device mapper. */
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
  return { mounts: [...mounts, ...devices], files: readdirSync(directory, { recursive: true }).length };
}

/** Empty, if there is no such file. A device may go while it is looked at. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}
