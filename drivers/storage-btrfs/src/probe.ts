/** Checks by real subvolumes, not by the kernel's version, whether this host supports the driver. */
import { existsSync, mkdirSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { asError, type Call, type HostToolkit, isTsboxError, type Probe, withCleanup } from "@tsbox/kernel";
import { removeTree } from "./removals.ts";

/** BTRFS_SUPER_MAGIC, linux/magic.h */
const btrfsMagic = 0x9123683e;

export async function probe(call: Call, host: HostToolkit, rootDirectory: string): Promise<Probe> {
  if (statfsSync(rootDirectory).type !== btrfsMagic)
    return unusable(
      `${rootDirectory} does not lie on btrfs`,
      "mount a btrfs there, or put the engine's root on one with --root; or use storage overlay",
    );
  if (process.geteuid?.() !== 0)
    return unusable("removing subvolumes of containers needs root", "run the engine as root, or use storage vfs");
  try {
    await trySubvolumes(call, host, rootDirectory);
    return { usable: true };
  } catch (error) {
    // An existing store shows that the driver works, and removals must also be possible on a full disk.
    if (isFull(error)) {
      if (existsSync(join(rootDirectory, "committed"))) return { usable: true };
      throw error;
    }
    return unusable(
      `subvolumes below ${rootDirectory} do not work: ${asError(error).message}`,
      "use Linux 5.7 or later, or storage overlay",
    );
  }
}

async function trySubvolumes(call: Call, host: HostToolkit, rootDirectory: string): Promise<void> {
  const base = join(rootDirectory, "probe");
  const [tree, snapshot] = [join(base, "fs"), join(base, "snapshot/fs")];
  const clean = async (): Promise<void> => {
    for (const path of [join(base, "snapshot"), base]) await removeTree(call, host, rootDirectory, path);
  };
  await withCleanup(async (cleanup) => {
    // What a probe left that was killed.
    await clean();
    cleanup.always(clean);
    mkdirSync(join(base, "snapshot"), { recursive: true, mode: 0o700 });
    await host.createSubvolume(call, tree);
    await host.snapshotSubvolume(call, tree, snapshot);
    await host.setSubvolumeReadOnly(call, tree, true);
  });
}

function isFull(error: unknown): boolean {
  return isTsboxError(error) && error.code === "ResourceExhausted";
}

function unusable(reason: string, hint: string): Probe {
  return { usable: false, reason, hint };
}
