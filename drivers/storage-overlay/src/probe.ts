/** Checks by a real mount, not by the kernel's version, whether this host supports the driver. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, statfsSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  asError,
  type Call,
  type HostToolkit,
  isTsboxError,
  type Mount,
  type Probe,
  systemCode,
  withCleanup,
  withMounts,
} from "@tsbox/kernel";

import { userXattr } from "./user-xattr.ts";

/** OVERLAYFS_SUPER_MAGIC, linux/magic.h */
const overlayMagic = 0x794c7630;

export async function probe(call: Call, host: HostToolkit, rootDirectory: string): Promise<Probe> {
  if (process.geteuid?.() !== 0) return unusable("overlay mounts need root", "run the engine as root, or use storage vfs");
  if (!/\boverlay$/m.test(readFileSync("/proc/filesystems", "utf8")))
    return unusable("this kernel has no overlayfs", "load the module: modprobe overlay");
  if (statfsSync(rootDirectory).type === overlayMagic) {
    return unusable(
      `${rootDirectory} lies on an overlay itself, which can't be an upper directory`,
      "put the engine's root on a disk or tmpfs with --root",
    );
  }
  try {
    await tryMount(call, host, rootDirectory);
    return { usable: true };
  } catch (error) {
    // An existing store shows that the driver works, and removals must also be possible on a full disk.
    if (isFull(error)) {
      if (existsSync(join(rootDirectory, "committed"))) return { usable: true };
      throw error;
    }
    return unusable(
      `an overlay on ${rootDirectory} does not work: ${asError(error).message}`,
      "its file system must have d_type and xattrs (ext4, xfs with ftype=1, btrfs, tmpfs)",
    );
  }
}

/**
 * Removes a file and a directory of the lower layer and makes the directory again: that needs a whiteout (d_type) and an opaque directory
 * (trusted.*).
 */
async function tryMount(call: Call, host: HostToolkit, rootDirectory: string): Promise<void> {
  await withCleanup(async (cleanup) => {
    const base = mkdtempSync(join(rootDirectory, "probe-"));
    cleanup.always(() => host.removeTree(call, base));
    for (const name of ["lower", "lower/directory", "upper", "work"]) mkdirSync(join(base, name));
    writeFileSync(join(base, "lower/file"), "");
    const mount: Mount = {
      type: "overlay",
      source: "overlay",
      target: null,
      options: [`lowerdir+=${base}/lower`, `upperdir=${base}/upper`, `workdir=${base}/work`, ...userXattr()],
    };
    await withMounts(call, host, [mount], async (root) => {
      unlinkSync(join(root, "file"));
      rmdirSync(join(root, "directory"));
      mkdirSync(join(root, "directory"));
      if (existsSync(join(root, "file"))) throw new Error("a removed file shows through");
    });
    if (!statSync(join(base, "upper/file")).isCharacterDevice()) throw new Error("a removed file leaves no whiteout");
  });
}

/** Whether the disk is full, or another resource is exhausted that may be free again in a moment. */
function isFull(error: unknown): boolean {
  if (isTsboxError(error)) return error.code === "ResourceExhausted";
  return ["ENOSPC", "EDQUOT", "EMFILE", "ENFILE", "ENOMEM"].includes(systemCode(error) ?? "");
}

function unusable(reason: string, hint: string): Probe {
  return { usable: false, reason, hint };
}
