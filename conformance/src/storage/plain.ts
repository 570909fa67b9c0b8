/** Edits and trees on a real directory: how mounts are written and read, and the oracle that they are compared with. */
import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import type { Edit, Tree, TreeNode } from "./tree.ts";

/** Not `path.join`, which drops a last `.`: the root may be a link (a mount's `/proc/PID/fd/N`), and `.` is the directory behind it. */
const below = (root: string, path: string): string => `${root}/${path}`;

export function editDirectory(root: string, edits: readonly Edit[]): void {
  for (const edit of edits) editOne(below(root, edit.path), edit, root);
}

function editOne(path: string, edit: Edit, root: string): void {
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
  }
}

function move(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EXDEV") throw error;
    const copy = spawnSync("cp", ["-a", "-T", from, to], { encoding: "utf8" });
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
      type: directory ? "directory" : symlink ? "symlink" : "file",
      mode: symlink ? 0o777 : stat.mode & 0o7777,
      uid: stat.uid,
      gid: stat.gid,
      content: directory ? null : symlink ? readlinkSync(below(root, path)) : readFileSync(below(root, path), "utf8"),
      mtime: directory ? null : stat.mtimeMs,
      sameAs: first ?? null,
    });
    if (directory) for (const name of readdirSync(below(root, path)).sort()) visit(path === "." ? name : `${path}/${name}`);
  };
  visit(".");
  return tree;
}
