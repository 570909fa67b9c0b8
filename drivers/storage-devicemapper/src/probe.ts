/** Whether this host supports the driver. A pool is not tried: that would leave files on hosts which never use it. */
import { readFileSync } from "node:fs";
import { type Call, type HostToolkit, isTsboxError, type Probe } from "@tsbox/kernel";
import { mkfsProgram } from "./internal/file-systems.ts";
import type { Settings } from "./settings.ts";

const load = "load the modules: modprobe -a dm_thin_pool loop; or use storage overlay";

export async function probe(call: Call, host: HostToolkit, settings: Settings): Promise<Probe> {
  if (process.geteuid?.() !== 0) return unusable("thin devices need root", "run the engine as root, or use storage vfs");
  try {
    const targets = await host.mapperTargets(call);
    if (!targets.includes("thin") || !targets.includes("thin-pool")) return unusable("this kernel's device mapper has no thin pools", load);
  } catch (error) {
    if (isTsboxError(error) && (error.code === "Unsupported" || error.code === "PermissionDenied")) return unusable(error.message, load);
    throw error;
  }
  if (settings.pool === null && settings.data === null && !/^ *7 loop$/m.test(readFileSync("/proc/devices", "utf8")))
    return unusable("this kernel has no loop devices", load);
  const { fileSystem } = settings;
  if (mkfsProgram(fileSystem) === null)
    return unusable(
      `mkfs.${fileSystem} is missing`,
      `install ${fileSystem === "xfs" ? "xfsprogs" : "e2fsprogs"}, or choose the other file system: ext4 or xfs`,
    );
  return { usable: true };
}

function unusable(reason: string, hint: string): Probe {
  return { usable: false, reason, hint };
}
