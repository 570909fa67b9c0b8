/**
 * docker cp's rules for paths (moby's pkg/archive/copy.go): the meaning of a trailing slash, of `/.`, and of a destination that exists or
 * does not. The functions are pure, except for the look-ups of the user's own files.
 */
import { lstatSync, readlinkSync, realpathSync, statSync } from "node:fs";
import { posix } from "node:path";
import { CommandError } from "../command-error.ts";

/** One side of a copy. `rename`: the source's name in the archive, if it is not the path's last name. */
export interface Side {
  readonly path: string;
  readonly exists: boolean;
  readonly isDirectory: boolean;
  readonly rename: string | null;
}
/** The directory that an archive is extracted to, and the new name of its first member. */
export interface Plan {
  readonly directory: string;
  readonly rename: { readonly from: string; readonly to: string } | null;
}

const broken = (text: string): CommandError => new CommandError(1, text);

/** The path's last element, like Go's filepath.Base. */
function base(path: string): string {
  if (path === "") return ".";
  return posix.basename(path) || "/";
}

export const saysHere = (path: string): boolean => base(path) === ".";
export const saysDirectory = (path: string): boolean => path.endsWith("/") || saysHere(path);

/** `clean` with the trailing `/` or `/.` that the user wrote. */
export function keepEnd(clean: string, written: string): string {
  let path = clean;
  if (!saysHere(path) && saysHere(written)) path = path.endsWith("/") ? `${path}.` : `${path}/.`;
  return written.endsWith("/") && !path.endsWith("/") ? `${path}/` : path;
}

/** `CONTAINER:PATH`, or a path of the user (`container` null). */
export function sideOf(word: string): { readonly container: string | null; readonly path: string } {
  const at = word.indexOf(":");
  if (word.startsWith("/") || at < 0 || word.slice(0, at).startsWith(".")) return { container: null, path: word };
  return { container: word.slice(0, at), path: word.slice(at + 1) };
}

export const localPath = (path: string, workingDirectory: string): string =>
  keepEnd(posix.resolve(workingDirectory, path === "" ? "." : path), path);

/** Directory and last name; `a/.` is the directory `a` and the name `.`. */
export function splitPath(path: string): { readonly directory: string; readonly name: string } {
  const clean = posix.normalize(path === "" ? "." : path).replace(/(.)\/$/, "$1");
  if (saysHere(path)) return { directory: clean === "/" ? "/" : clean, name: "." };
  return { directory: posix.dirname(clean), name: base(clean) };
}

/** Replaces a link by its target, keeping the trailing part as written and the requested name. */
export function renamed(written: string, target: string): { readonly path: string; readonly rename: string | null } {
  let path = target;
  if (saysHere(written) && !saysHere(path)) path += "/.";
  if (written.endsWith("/") && !path.endsWith("/")) path += "/";
  return { path, rename: base(written) === base(path) ? null : base(written) };
}

/** The user's file or directory to copy; with `follow`, the target of a link. */
export function localSource(path: string, follow: boolean): Side {
  const resolved = follow ? renamed(path, realpath(path)) : parentResolved(path);
  const stat = lstatSync(resolved.path, { throwIfNoEntry: false });
  if (stat === undefined) throw broken(`lstat ${path}: no such file or directory`);
  // The path's end says that it is a directory.
  if (saysDirectory(path) && !stat.isDirectory()) throw broken(`lstat ${path}: not a directory`);
  return { path: resolved.path, exists: true, isDirectory: stat.isDirectory(), rename: resolved.rename };
}

function parentResolved(path: string): { readonly path: string; readonly rename: string | null } {
  // Like Go's filepath.Split: the name is the part after the last slash, and may be empty.
  const cut = path.lastIndexOf("/");
  const directory = realpath(path.slice(0, cut) || "/");
  const resolved = `${directory === "/" ? "" : directory}/${path.slice(cut + 1)}`;
  return { path: resolved, rename: path.endsWith("/") && base(path) !== base(resolved) ? base(path) : null };
}

function realpath(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    throw broken(`lstat ${path}: ${reason(error)}`);
  }
}

export function reason(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  const words: Readonly<Record<string, string>> = {
    ENOENT: "no such file or directory",
    ENOTDIR: "not a directory",
    EACCES: "permission denied",
    EPERM: "operation not permitted",
    EEXIST: "file exists",
    ELOOP: "too many levels of symbolic links",
    ENOSPC: "no space left on device",
    EROFS: "read-only file system",
  };
  return words[code ?? ""] ?? (error instanceof Error ? error.message : String(error));
}

const mostLinks = 10;

/** The user's destination of a copy: links at the path's end are followed. A missing destination needs an existing parent directory. */
export function localDestination(written: string): Side {
  let path = written;
  for (let links = 0; ; links += 1) {
    // A link with a trailing slash stands for its target.
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) {
      const { directory } = splitPath(path);
      const parent = statSync(directory, { throwIfNoEntry: false });
      if (parent === undefined) throw broken(`stat ${directory}: no such file or directory`);
      if (!parent.isDirectory()) throw broken("not a directory");
      return { path, exists: false, isDirectory: false, rename: null };
    }
    if (!stat.isSymbolicLink()) return { path, exists: true, isDirectory: stat.isDirectory(), rename: null };
    if (links > mostLinks) throw broken(`too many symlinks in ${written}`);
    const target = readlinkSync(path);
    path = target.startsWith("/") ? target : posix.join(splitPath(path).directory, target);
  }
}

/** Docker's table: the source is a file or a directory; the destination is missing, a file or a directory. */
export function plan(source: Side, destination: Side): Plan {
  const from = source.rename ?? splitPath(source.path).name;
  const { directory, name: to } = splitPath(destination.path);
  if (destination.exists && destination.isDirectory) return { directory: destination.path, rename: null };
  if (destination.exists && source.isDirectory) throw broken("cannot copy directory");
  if (!destination.exists && !source.isDirectory && saysDirectory(destination.path)) throw broken("no such directory");
  return { directory, rename: { from, to } };
}

/** The new name of a member: the first occurrence of `from` becomes `to`. */
export function rename(name: string, change: Plan["rename"]): string {
  if (change === null) return name;
  const from = change.from === "/" ? "" : change.from;
  return name.replace(from, () => change.to);
}
