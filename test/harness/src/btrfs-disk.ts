/** A btrfs on a loop device: few hosts have one. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { needsRoot } from "./world.ts";

export interface BtrfsDisk {
  readonly directory: string;
  /** The ids of its subvolumes, also of those that are removed and not freed yet. */
  subvolumes(): readonly string[];
  /** Its quota groups (`0_257`), without that of the file system's own root. */
  quotaGroups(): readonly string[];
  unmount(): void;
}

/** The reason why there can be no such disk here, or null. */
export function whyNoBtrfs(): string | null {
  const missing = needsRoot();
  if (missing !== null) return missing;
  return spawnSync("mkfs.btrfs", ["--version"]).error === undefined ? null : "mkfs.btrfs is missing: scripts/packages";
}

export function mountBtrfs(megabytes = 512): BtrfsDisk {
  const place = mkdtempSync(join(tmpdir(), "tsbox-btrfs-"));
  const [image, directory] = [join(place, "image"), join(place, "mounted")];
  writeFileSync(image, "");
  truncateSync(image, megabytes * 2 ** 20);
  mkdirSync(directory);
  execFileSync("mkfs.btrfs", ["-q", image]);
  execFileSync("mount", ["-o", "loop", image, directory]);
  const [uuid = ""] = output("findmnt", "-nro", "UUID", directory);
  const ids = (...options: readonly string[]): readonly string[] =>
    output("btrfs", "subvolume", "list", ...options, directory).flatMap((line) => /^ID (\d+)/.exec(line)?.[1] ?? []);
  return {
    directory,
    subvolumes: () => [...ids(), ...ids("-d")],
    quotaGroups: () => names(`/sys/fs/btrfs/${uuid}/qgroups`).filter((name) => /^\d+_\d+$/.test(name) && name !== "0_5"),
    unmount: () => {
      execFileSync("umount", [directory]);
      rmSync(place, { recursive: true });
    },
  };
}

function output(program: string, ...words: readonly string[]): readonly string[] {
  return execFileSync(program, words, { encoding: "utf8" }).split("\n").filter(Boolean);
}

function names(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
