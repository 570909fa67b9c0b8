/**
 * A separate file system for the bench: a new ext4 with a journal, as Debian makes it, in a file. On the host's own file system the results
 * depend on its contents, on its free space, and (without a journal) on how much was deleted in the last minutes.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { run } from "./measure.ts";

export interface FileSystem {
  readonly directory: string;
  remove(): void;
}

/** `parent`: the directory of the file, whose file system holds the data. */
export function freshFileSystem(parent: string): FileSystem {
  const place = mkdtempSync(join(parent, "tsbox-bench-"));
  const [image, directory] = [join(place, "ext4"), join(place, "mounted")];
  const remove = (): void => rmSync(place, { recursive: true, force: true });
  try {
    run("mkdir", [directory]);
    run("truncate", ["-s", "30G", image]);
    run("mkfs.ext4", ["-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image]);
    run("mount", ["-o", "loop", image, directory]);
  } catch (error) {
    remove();
    throw error;
  }
  return {
    directory,
    remove: () => {
      // Mounts that a killed engine has left.
      run("umount", ["-R", directory]);
      remove();
    },
  };
}
