/** The host's files that are bound into containers, by the paths that users name. */
import { mkdirSync, statSync } from "node:fs";
import { fail, systemCode } from "@tsbox/kernel";

/** What a path can have wrong, in words. */
const faults: Readonly<Record<string, string>> = {
  EEXIST: "a symbolic link is there, which leads nowhere",
  ELOOP: "its symbolic links form a loop",
  ENAMETOOLONG: "a name in it, or the path, is too long",
  ENOENT: "a symbolic link in it leads nowhere",
  ENOTDIR: "a part of it is a file",
  EROFS: "it is on a read-only file system",
};

const faultOf = (error: unknown): string | undefined => faults[(error as NodeJS.ErrnoException).code ?? ""];

export function sourceExists(source: string): boolean {
  try {
    return statSync(source, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    const fault = faultOf(error);
    if (fault === undefined) throw error;
    throw fail("InvalidArgument", `invalid bind source path '${source}': ${fault}; choose another path`, { cause: error });
  }
}

/** The host's own files may be in the way. */
export function makeSource(source: string): void {
  try {
    mkdirSync(source, { recursive: true, mode: 0o755 });
  } catch (error) {
    const code = systemCode(error);
    if (code !== undefined && ["ENOSPC", "EDQUOT", "EMFILE", "ENFILE", "ENOMEM", "EIO"].includes(code)) throw error;
    const why = faultOf(error) ?? code ?? String(error);
    throw fail("InvalidArgument", `error while creating mount source path '${source}': ${why}; choose another path`, { cause: error });
  }
}
