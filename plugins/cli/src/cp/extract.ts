/**
 * Extracts a container's tar onto the user's own disk, in the user's own process. The archive is untrusted: nothing is written through a
 * link that it contains, and nothing above the target directory.
 */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  createWriteStream,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  rmSync,
  type Stats,
  symlinkSync,
} from "node:fs";
import { posix } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { extract, type Header } from "tar-stream";
import { CommandError } from "../command-error.ts";
import { type Plan, reason, rename } from "./paths.ts";

type Head = Header & { readonly pax?: Readonly<Record<string, string>> | null };

export interface Extracted {
  readonly tar: AsyncIterable<Uint8Array>;
  readonly plan: Plan;
  /** Files get the archive's owners, if the user may change owners; otherwise the user owns all of them. */
  readonly owners: boolean;
}

export async function extractFiles({ tar, plan, owners }: Extracted): Promise<void> {
  const entries = extract();
  const feeding = pipeline(Readable.from(tar, { objectMode: false }), entries as unknown as NodeJS.WritableStream);
  feeding.catch(() => {});
  const directories: (readonly [path: string, head: Head])[] = [];
  for await (const entry of entries as unknown as AsyncIterable<Readable & { readonly header: Header }>) {
    const head = entry.header as Head;
    const name = rename(head.name, plan.rename);
    const inside = within(plan.directory, name);
    try {
      await member(plan, inside, head, entry, owners);
    } catch (error) {
      if (error instanceof CommandError) throw error;
      throw new CommandError(1, `${head.name}: ${reason(error)}`);
    }
    if (head.type === "directory" && inside !== "") directories.push([posix.join(plan.directory, inside), head]);
    entry.resume();
  }
  await feeding;
  // Directories come last, the deepest first, since each new entry changes its directory's time.
  for (const [path, head] of directories.reverse()) {
    chmodSync(path, head.mode ?? 0o755);
    times(path, head);
  }
}

/** The path below the directory; "": the directory itself. */
function within(directory: string, name: string): string {
  const clean = posix.normalize(name.replace(/^\/+/, "")).replace(/\/$/, "");
  if (clean === "..") throw new CommandError(1, `"${name}" is outside of "${directory}"`);
  if (clean.startsWith("../")) throw new CommandError(1, `"${name}" is outside of "${directory}"`);
  return clean === "." ? "" : clean;
}

async function member({ directory, rename: change }: Plan, inside: string, head: Head, content: Readable, owners: boolean): Promise<void> {
  if (inside === "") return;
  const path = posix.join(directory, inside);
  parents(directory, inside);
  const existing = lstatSync(path, { throwIfNoEntry: false });
  const isDirectory = head.type === "directory";
  if (existing?.isDirectory() === true && !isDirectory)
    throw new CommandError(1, `cannot overwrite directory "${path}" with non-directory "${directory}"`);
  if (existing !== undefined && !existing.isDirectory() && isDirectory)
    throw new CommandError(1, `cannot overwrite non-directory "${path}" with directory "${directory}"`);
  if (existing !== undefined && !isDirectory) rmSync(path);
  await make(path, directory, change, head, content, existing);
  if (head.type === "link") return;
  if (owners) lchownSync(path, Number(head.pax?.uid ?? head.uid ?? 0), Number(head.pax?.gid ?? head.gid ?? 0));
  if (head.type === "symlink") {
    times(path, head);
    return;
  }
  // A directory gets its mode and times when all of its entries exist.
  if (isDirectory) return;
  chmodSync(path, head.mode ?? 0o644);
  times(path, head);
}

async function make(
  path: string,
  directory: string,
  change: Plan["rename"],
  head: Head,
  content: Readable,
  existing: Stats | undefined,
): Promise<void> {
  switch (head.type) {
    case "directory":
      if (existing === undefined) mkdirSync(path, { mode: 0o700 });
      return;
    case "symlink":
      symlinkSync(head.linkname ?? "", path);
      return;
    case "link": {
      const target = within(directory, rename(head.linkname ?? "", change));
      parents(directory, target);
      linkSync(posix.join(directory, target), path);
      return;
    }
    case "fifo":
      execFileSync("mkfifo", ["--", path]);
      return;
    case "character-device":
    case "block-device":
      execFileSync("mknod", ["--", path, head.type === "block-device" ? "b" : "c", String(head.devmajor ?? 0), String(head.devminor ?? 0)]);
      return;
    default:
      await pipeline(content, createWriteStream(path, { flags: "wx", mode: 0o600 }));
  }
}

/** Checks that every directory on the way is a directory and not a link; creates missing ones. */
function parents(directory: string, inside: string): void {
  let path = directory;
  for (const name of inside.split("/").slice(0, -1)) {
    path = posix.join(path, name);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) mkdirSync(path, { mode: 0o755 });
    else if (!stat.isDirectory())
      throw new CommandError(1, `${path} is no directory, and the archive goes through it: remove it, or copy to another place`);
  }
}

function times(path: string, head: Head): void {
  const at = head.pax?.mtime === undefined ? (head.mtime?.getTime() ?? 0) / 1000 : Number(head.pax.mtime);
  lutimesSync(path, at, at);
}
