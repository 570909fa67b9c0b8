/** A small file system in a file, of the same kind as that of a directory: a test can fill it. */
import { spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statfsSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface SmallDisk {
  readonly directory: string;
  /** Leaves no room for anything. */
  fill(): void;
  free(): void;
  /** Everything on it is gone afterwards. */
  close(): void;
}

interface Kind {
  readonly name: string;
  readonly megabytes: number;
  readonly mkfs: readonly string[];
}
/** By the number in statfs(2). */
const kinds: ReadonlyMap<number, Kind> = new Map([
  [0xef53, { name: "ext4", megabytes: 32, mkfs: ["mkfs.ext4", "-q", "-F", "-m", "0", "-N", "4096"] }],
  [0x9123683e, { name: "btrfs", megabytes: 160, mkfs: ["mkfs.btrfs", "-q"] }],
  [0x58465342, { name: "xfs", megabytes: 320, mkfs: ["mkfs.xfs", "-q", "-f"] }],
]);
const plain: Kind = { name: "ext4", megabytes: 32, mkfs: ["mkfs.ext4", "-q", "-F", "-m", "0", "-N", "4096"] };

/** The reason why no small disk can be made here, by the kind of file system; null: it can. */
const reasons = new Map<string, string | null>();

export function whyNoSmallDisk(directory: string, least: number = 0): string | null {
  const kind = kindOf(directory);
  if (least > kind.megabytes) return `the driver needs a disk of ${least} MiB, and the small one has ${kind.megabytes}`;
  const known = reasons.get(kind.name);
  if (known !== undefined) return known;
  let reason: string | null = null;
  try {
    makeSmallDisk(directory).close();
  } catch (error) {
    reason = `no small disk can be made: ${error instanceof Error ? error.message : String(error)}`;
  }
  reasons.set(kind.name, reason);
  return reason;
}

const kindOf = (directory: string): Kind => kinds.get(statfsSync(directory).type) ?? plain;

export function makeSmallDisk(like: string): SmallDisk {
  const { megabytes, mkfs, name } = kindOf(like);
  const place = mkdtempSync(join(tmpdir(), "tsbox-small-disk-"));
  const [image, directory] = [join(place, "image"), join(place, "disk")];
  try {
    writeFileSync(image, "");
    truncateSync(image, megabytes << 20);
    mkdirSync(directory);
    run([...mkfs, image]);
    run(["mount", "-t", name, "-o", "loop", image, directory]);
  } catch (error) {
    rmSync(place, { recursive: true, force: true });
    throw error;
  }
  const filler = join(directory, "filler");
  return {
    directory,
    fill: () => fill(filler),
    free: () => {
      if (existsSync(filler)) unlinkSync(filler);
      run(["sync", "-f", directory]);
    },
    close: () => {
      run(["umount", directory]);
      rmSync(place, { recursive: true, force: true });
    },
  };
}

/** With ever smaller pieces, and again after a sync: some file systems reserve more than they need at first. */
function fill(path: string): void {
  const file = openSync(path, "a");
  try {
    for (let round = 0; round < 3; round++) {
      for (const size of [1 << 20, 64 << 10, 4 << 10]) while (written(file, size));
      run(["sync", "-f", path]);
    }
  } finally {
    closeSync(file);
  }
}

function written(file: number, size: number): boolean {
  try {
    return writeSync(file, Buffer.alloc(size, 1)) === size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOSPC") return false;
    throw error;
  }
}

function run([program = "", ...words]: readonly string[]): void {
  const { status, stderr, error } = spawnSync(program, words, { encoding: "utf8" });
  if (error !== undefined) throw new Error(`${program} can't be run (${error.message})`);
  if (status !== 0) throw new Error(`${program}: ${stderr.trim().split("\n").at(-1) ?? `exit code ${status}`}`);
}
