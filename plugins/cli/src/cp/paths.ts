/**
 * docker cp's rules about paths (moby's pkg/archive/copy.go): what a trailing slash, a `/.` and a destination that is there or not mean.
 * Pure, but for the looks at the user's own files.
 */
import { lstatSync, readlinkSync, realpathSync, statSync } from "node:fs";
import { posix } from "node:path";
import { CommandError } from "../command-error.ts";

/** One side of a copy. `rename`: what the source is called in the archive, where that is not its own last name. */
export interface Side {
  readonly path: string;
  readonly exists: boolean;
  readonly isDirectory: boolean;
  readonly rename: string | null;
}
/** Where an archive goes, and what its first name becomes. */
export interface Plan {
  readonly directory: string;
  readonly rename: { readonly from: string; readonly to: string } | null;
}

const broken = (text: string): CommandError => new CommandError(1, text);

/** The last element, as Go's filepath.Base. */
function base(path: string): string {
  if (path === "") return ".";
  return posix.basename(path) || "/";
}

export const saysHere = (path: string): boolean => base(path) === ".";
export const saysDirectory = (path: string): boolean => path.endsWith("/") || saysHere(path);

/** `clean` with the `/` or `/.` at its end that the user wrote. */
export function keepEnd(clean: string, written: string): string {
  let path = clean;
  if (!saysHere(path) && saysHere(written)) path = path.endsWith("/") ? `${path}.` : `${path}/.`;
  return written.endsWith("/") && !path.endsWith("/") ? `${path}/` : path;
}

/** `CONTAINER:PATH`, or a path of the user's own (`container` null). */
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

/** A link's target in place of the link, keeping the end that was written, and the name that was asked for. */
export function renamed(written: string, target: string): { readonly path: string; readonly rename: string | null } {
  let path = target;
  if (saysHere(written) && !saysHere(path)) path += "/.";
  if (written.endsWith("/") && !path.endsWith("/")) path += "/";
  return { path, rename: base(written) === base(path) ? null : base(written) };
}

/** The user's file or directory that is copied; with `follow` what a link leads to. */
export function localSource(path: string, follow: boolean): Side {
  const resolved = follow ? renamed(path, realpath(path)) : parentResolved(path);
  const stat = lstatSync(resolved.path, { throwIfNoEntry: false });
  if (stat === undefined) throw broken(`lstat ${path}: no such file or directory`);
  // Asserted to be a directory.
  if (saysDirectory(path) && !stat.isDirectory()) throw broken(`lstat ${path}: not a directory`);
  return { path: resolved.path, exists: true, isDirectory: stat.isDirectory(), rename: resolved.rename };
}

function parentResolved(path: string): { readonly path: string; readonly rename: string | null } {
  // As Go's filepath.Split: what follows the last slash, which may be nothing.
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

/** Where the user's copy goes: links at the end are followed. What is not there yet needs a directory to be made in. */
export function localDestination(written: string): Side {
  let path = written;
  for (let links = 0; ; links += 1) {
    // A link with a slash behind it is what it leads to.
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

/** Docker's table: source a file or a directory, destination there or not, and as what. */
export function plan(source: Side, destination: Side): Plan {
  const from = source.rename ?? splitPath(source.path).name;
  const { directory, name: to } = splitPath(destination.path);
  if (destination.exists && destination.isDirectory) return { directory: destination.path, rename: null };
  if (destination.exists && source.isDirectory) throw broken("cannot copy directory");
  if (!destination.exists && !source.isDirectory && saysDirectory(destination.path)) throw broken("no such directory");
  return { directory, rename: { from, to } };
}

/** The name that a member gets: the first occurrence of `from` becomes `to`. */
export function rename(name: string, change: Plan["rename"]): string {
  if (change === null) return name;
  const from = change.from === "/" ? "" : change.from;
  return name.replace(from, () => change.to);
}
