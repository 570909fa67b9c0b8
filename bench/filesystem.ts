/**
 * A file system of the bench's own: ext4 with a journal, as Debian makes it, fresh, in a file. On the host's own one counts what lies
 * there, how full it is, and (without a journal) how much was deleted in the last minutes.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { run } from "./measure.ts";

export interface FileSystem {
  readonly directory: string;
  remove(): void;
}

/** `parent`: where the file lies; it takes what is written into it. */
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
      // What an engine that was killed has left mounted.
      run("umount", ["-R", directory]);
      remove();
    },
  };
}
