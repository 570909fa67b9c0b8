/** A file tree in memory, which behaves like a real one as far as edits can tell. */
import type { Edit, Tree, TreeNode } from "../storage/tree.ts";

interface Inode {
  type: TreeNode["type"];
  mode: number;
  uid: number;
  gid: number;
  content: string | null;
  mtime: number | null;
}

export class MemoryTree {
  /** By path; several names of one file share one inode. */
  readonly #inodes = new Map<string, Inode>([[".", { type: "directory", mode: 0o755, uid: 0, gid: 0, content: null, mtime: null }]]);

  copy(): MemoryTree {
    const tree = new MemoryTree();
    const copies = new Map<Inode, Inode>();
    for (const [path, inode] of this.#inodes) {
      const copied = copies.get(inode) ?? { ...inode };
      copies.set(inode, copied);
      tree.#inodes.set(path, copied);
    }
    return tree;
  }

  edit(edits: readonly Edit[]): void {
    for (const edit of edits) this.#edit(edit);
  }

  read(): Tree {
    const tree = new Map<string, TreeNode>();
    const first = new Map<Inode, string>();
    for (const path of [...this.#inodes.keys()].sort(byPath)) {
      const inode = this.#at(path);
      tree.set(path, { ...inode, sameAs: first.get(inode) ?? null });
      if (!first.has(inode)) first.set(inode, path);
    }
    return tree;
  }

  get bytes(): number {
    return [...new Set(this.#inodes.values())].reduce((sum, { content }) => sum + (content?.length ?? 0), 0);
  }
  get size(): number {
    return new Set(this.#inodes.values()).size;
  }

  #edit(edit: Edit): void {
    switch (edit.op) {
      case "mkdir":
        this.#add(edit.path, "directory", edit.mode ?? 0o755, null);
        break;
      case "write":
        if (this.#inodes.has(edit.path)) Object.assign(this.#at(edit.path), { content: edit.content, mtime: Date.now() });
        else this.#add(edit.path, "file", 0o644, edit.content);
        break;
      case "append": {
        const inode = this.#at(edit.path);
        Object.assign(inode, { content: `${inode.content}${edit.content}`, mtime: Date.now() });
        break;
      }
      case "symlink":
        this.#add(edit.path, "symlink", 0o777, edit.target);
        break;
      case "link":
        this.#inodes.set(edit.path, this.#at(edit.to));
        break;
      case "remove":
        this.#at(edit.path);
        for (const path of this.#below(edit.path)) this.#inodes.delete(path);
        break;
      case "rename":
        this.#rename(edit.path, edit.to);
        break;
      case "chmod":
        this.#at(edit.path).mode = edit.mode;
        break;
      case "chown": {
        const inode = this.#at(edit.path);
        // As in chown(2): a change of the owner clears set-user-ID and set-group-ID.
        Object.assign(inode, { uid: edit.uid, gid: edit.gid, mode: inode.type === "file" ? inode.mode & 0o1777 : inode.mode });
        break;
      }
      case "node":
        this.#add(edit.path, edit.kind, 0o644, edit.kind === "fifo" ? null : makedev(...(edit.device ?? [0, 0])));
        break;
      case "sparse":
        this.#add(edit.path, "file", 0o644, "\0".repeat(edit.hole) + edit.content);
        break;
      case "touch":
        this.#at(edit.path).mtime = edit.mtime * 1000;
        break;
    }
  }

  #rename(from: string, to: string): void {
    this.#at(from);
    const moved = this.#below(from).map((path) => [path, this.#at(path)] as const);
    for (const path of [...this.#below(to), ...moved.map(([path]) => path)]) this.#inodes.delete(path);
    for (const [path, inode] of moved) this.#inodes.set(to + path.slice(from.length), inode);
  }

  #add(path: string, type: TreeNode["type"], mode: number, content: string | null): void {
    if (this.#inodes.has(path)) throw new Error(`EEXIST: ${path}`);
    const parent = path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : ".";
    if (this.#at(parent).type !== "directory") throw new Error(`ENOTDIR: ${parent}`);
    this.#inodes.set(path, { type, mode, uid: 0, gid: 0, content, mtime: type === "directory" ? null : Date.now() });
  }

  #at(path: string): Inode {
    const inode = this.#inodes.get(path);
    if (inode === undefined) throw new Error(`ENOENT: ${path}`);
    return inode;
  }

  #below(path: string): readonly string[] {
    return [...this.#inodes.keys()].filter((each) => each === path || each.startsWith(`${path}/`));
  }
}

/** The order of a walk: the root first, then by the names on the path. */
function byPath(left: string, right: string): number {
  if (left === "." || right === ".") return left === right ? 0 : left === "." ? -1 : 1;
  const [a, b] = [left.split("/"), right.split("/")];
  for (let at = 0; at < Math.min(a.length, b.length); at++) {
    const [x = "", y = ""] = [a[at], b[at]];
    if (x !== y) return x < y ? -1 : 1;
  }
  return a.length - b.length;
}

/** A device's number in the form of stat(2). */
function makedev(major: number, minor: number): string {
  return String((BigInt(minor & 0xff) | (BigInt(major & 0xfff) << 8n) | (BigInt(minor & ~0xff) << 12n)) as bigint);
}
