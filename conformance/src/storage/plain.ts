/** Edits and trees on a real directory: for writing and reading mounts, and as the oracle that they are compared with. */
import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  closeSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  type Stats,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import type { Edit, Tree, TreeNode } from "./tree.ts";

/**
 * Not `path.join`, which drops a trailing `.`: the root may be a link (a mount's `/proc/PID/fd/N`), and `.` is the directory that it leads
 * to.
 */
const below = (root: string, path: string): string | Buffer =>
  path.includes("\\x") ? Buffer.concat([Buffer.from(`${root}/`), bytesOf(path)]) : `${root}/${path}`;

/** Names are bytes. A name that is not UTF-8 is written as `\x` and hex, so that it can be compared as text. */
function bytesOf(path: string): Buffer {
  const parts = path.split("/").map((name) => (name.startsWith("\\x") ? Buffer.from(name.slice(2), "hex") : Buffer.from(name)));
  return Buffer.concat(parts.flatMap((part, at) => (at === 0 ? [part] : [Buffer.from("/"), part])));
}

function shownName(name: Buffer): string {
  const text = name.toString();
  return Buffer.from(text).equals(name) ? text : `\\x${name.toString("hex")}`;
}

export function editDirectory(root: string, edits: readonly Edit[]): void {
  for (const edit of edits) editOne(below(root, edit.path), edit, root);
}

function editOne(path: string | Buffer, edit: Edit, root: string): void {
  switch (edit.op) {
    case "mkdir":
      mkdirSync(path);
      chmodSync(path, edit.mode ?? 0o755);
      break;
    case "write":
      writeFileSync(path, edit.content, { mode: 0o644 });
      break;
    case "append":
      appendFileSync(path, edit.content);
      break;
    case "symlink":
      symlinkSync(edit.target, path);
      break;
    case "link":
      linkSync(below(root, edit.to), path);
      break;
    case "remove":
      rmSync(path, { recursive: true });
      break;
    case "rename":
      move(path, below(root, edit.to));
      break;
    case "chmod":
      chmodSync(path, edit.mode);
      break;
    case "chown":
      lchownSync(path, edit.uid, edit.gid);
      break;
    case "touch":
      utimesSync(path, edit.mtime, edit.mtime);
      break;
    case "node":
      make(["mknod", ...nodeWords(String(path), edit)]);
      break;
    case "sparse": {
      const file = openSync(path, "wx", 0o644);
      writeSync(file, edit.content, edit.hole);
      closeSync(file);
      break;
    }
  }
}

function nodeWords(path: string, { kind, device }: Edit & { readonly op: "node" }): readonly string[] {
  return kind === "fifo" ? [path, "p"] : [path, kind === "character" ? "c" : "b", ...(device ?? [0, 0]).map(String)];
}

function make([program = "", ...words]: readonly string[]): void {
  const ran = spawnSync(program, words, { encoding: "utf8" });
  if (ran.status !== 0) throw new Error(ran.stderr);
}

function move(from: string | Buffer, to: string | Buffer): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EXDEV") throw error;
    const copy = spawnSync("cp", ["-a", "-T", String(from), String(to)], { encoding: "utf8" });
    if (copy.status !== 0) throw new Error(copy.stderr, { cause: error });
    rmSync(from, { recursive: true });
  }
}

export function readDirectory(root: string): Tree {
  const tree = new Map<string, TreeNode>();
  const names = new Map<string, string>();
  const visit = (path: string): void => {
    const stat = lstatSync(below(root, path));
    const directory = stat.isDirectory();
    const symlink = stat.isSymbolicLink();
    const inode = `${stat.dev}:${stat.ino}`;
    const first = names.get(inode);
    if (!directory && stat.nlink > 1 && first === undefined) names.set(inode, path);
    tree.set(path, {
      type: kindOf(stat),
      mode: symlink ? 0o777 : stat.mode & 0o7777,
      uid: stat.uid,
      gid: stat.gid,
      content: contentOf(below(root, path), stat),
      mtime: directory ? null : stat.mtimeMs,
      sameAs: first ?? null,
    });
    if (!directory) return;
    const inside = readdirSync(below(root, path), { encoding: "buffer" }).sort(Buffer.compare).map(shownName);
    for (const name of inside) visit(path === "." ? name : `${path}/${name}`);
  };
  visit(".");
  return tree;
}

function kindOf(stat: Stats): TreeNode["type"] {
  if (stat.isDirectory()) return "directory";
  if (stat.isSymbolicLink()) return "symlink";
  if (stat.isFIFO()) return "fifo";
  if (stat.isCharacterDevice()) return "character";
  return stat.isBlockDevice() ? "block" : stat.isSocket() ? "socket" : "file";
}

function contentOf(path: string | Buffer, stat: Stats): string | null {
  if (stat.isSymbolicLink()) return readlinkSync(path);
  if (stat.isCharacterDevice() || stat.isBlockDevice()) return String(stat.rdev);
  return stat.isFile() ? readFileSync(path, "utf8") : null;
}
