/** The file systems on thin devices: how they are made, and the options of their mounts. */
import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { type Call, deriveCall, fail, type HostToolkit, type Mount } from "@tsbox/kernel";
import type { FileSystem } from "../settings.ts";

const folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/** Milliseconds for a program that takes less than a tenth of a second on a quiet host. */
const mkfsTimeout = 120_000;

/** The path of mkfs, or null. */
export function mkfsProgram(fileSystem: FileSystem): string | null {
  return folders.map((folder) => join(folder, `mkfs.${fileSystem}`)).find(isExecutable) ?? null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Without discarding: a new device has no blocks. */
const making: Readonly<Record<FileSystem, readonly string[]>> = {
  xfs: ["-q", "-f", "-K"],
  // The tables of inodes read as zeros, so the kernel need not write them.
  ext4: ["-q", "-F", "-E", "nodiscard,lazy_itable_init=1"],
};

export async function makeFileSystem(call: Call, host: HostToolkit, fileSystem: FileSystem, device: string): Promise<void> {
  const program = mkfsProgram(fileSystem);
  if (program === null) throw fail("Unsupported", `mkfs.${fileSystem} is missing: install it`);
  const limited = deriveCall(call, { timeout: mkfsTimeout });
  const argv = [program, ...making[fileSystem], device];
  const { exitCode, stderr } = await host.run(limited, { argv, environment: { PATH: folders.join(":") }, workingDirectory: "/" });
  if (exitCode === 0) return;
  const reason = Buffer.from(stderr).toString().trim().split("\n").at(-1);
  throw fail("Unavailable", `mkfs.${fileSystem} could not format the base device: ${reason || `exit code ${exitCode}`}`);
}

export interface Format {
  readonly fileSystem: FileSystem;
  /** Whether the file system counts what its files take, so that they can be limited. */
  readonly quotas: boolean;
}

/**
 * `discard` gives the blocks of removed files back to the pool; a full pool recovers by it. Snapshots of an xfs have its UUID, which is to
 * be unique (`nouuid`). ext4 would fill its tables of inodes on each snapshot anew (`noinit_itable`).
 */
const options: Readonly<Record<FileSystem, readonly string[]>> = { xfs: ["nouuid", "discard"], ext4: ["discard", "noinit_itable"] };
/** The device is read-only, and has no journal to be replayed: it was unmounted before its commit. */
const readOnlyOptions: Readonly<Record<FileSystem, readonly string[]>> = {
  xfs: ["nouuid", "norecovery"],
  ext4: ["noload"],
};

export function writableMount(device: string, { fileSystem, quotas }: Format, more: readonly string[] = []): Mount {
  const all = [...options[fileSystem], ...(quotas ? ["prjquota"] : []), ...more];
  return { type: fileSystem, source: device, target: null, options: all };
}

export function readOnlyMount(device: string, { fileSystem }: Format): Mount {
  return { type: fileSystem, source: device, target: null, options: ["ro", "ro=fs", ...readOnlyOptions[fileSystem]] };
}
