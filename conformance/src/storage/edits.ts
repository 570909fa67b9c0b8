/** Edits for rules: small trees with every kind of file, and random ones from a seed. */
import type { Edit } from "./tree.ts";

/** A base layer: files, directories, links, with owners, modes and times that a faulty driver could lose. */
export const base: readonly Edit[] = [
  { op: "mkdir", path: "bin" },
  { op: "write", path: "bin/sh", content: "#!shell" },
  { op: "chmod", path: "bin/sh", mode: 0o755 },
  { op: "touch", path: "bin/sh", mtime: 1_000_000_000 },
  { op: "link", path: "bin/ash", to: "bin/sh" },
  { op: "symlink", path: "bin/latest", target: "sh" },
  { op: "symlink", path: "bin/away", target: "/../../etc/passwd" },
  { op: "mkdir", path: "etc" },
  { op: "write", path: "etc/passwd", content: "root:x:0:0" },
  { op: "write", path: "etc/shadow", content: "secret" },
  { op: "chmod", path: "etc/shadow", mode: 0o640 },
  { op: "chown", path: "etc/shadow", uid: 0, gid: 42 },
  { op: "mkdir", path: "home", mode: 0o711 },
  { op: "mkdir", path: "home/user", mode: 0o700 },
  { op: "chown", path: "home/user", uid: 1000, gid: 300_000 },
  { op: "write", path: "home/user/Ünïcode name", content: "päyload" },
  { op: "mkdir", path: "tmp", mode: 0o1777 },
  { op: "write", path: "empty", content: "" },
];

/** The changes of a second layer to the first: each kind of change once. */
export const changes: readonly Edit[] = [
  { op: "append", path: "etc/passwd", content: "\nuser:x:1000:1000" },
  { op: "chmod", path: "etc", mode: 0o750 },
  { op: "remove", path: "etc/shadow" },
  { op: "remove", path: "home" },
  { op: "rename", path: "empty", to: "etc/moved" },
  { op: "remove", path: "bin/latest" },
  { op: "mkdir", path: "bin/latest" },
  { op: "write", path: "bin/latest/new", content: "was a link" },
  { op: "remove", path: "tmp" },
  { op: "write", path: "tmp", content: "was a directory" },
  { op: "chown", path: "etc/passwd", uid: 7, gid: 8 },
  { op: "touch", path: "etc/passwd", mtime: 1_200_000_000 },
];

/** A directory is removed and made again with the same name: nothing of the old one may appear in it. */
export const madeAgain: readonly Edit[] = [
  { op: "remove", path: "home" },
  { op: "mkdir", path: "home", mode: 0o755 },
  { op: "write", path: "home/fresh", content: "1" },
];

const longest = "n".repeat(255);
const deep = Array.from({ length: 30 }, (_, at) => `level-${at}-${"d".repeat(90)}`);
const deepest = deep.join("/");

/** Things that are rare in images, but that a tree must preserve. */
export const unusual: readonly Edit[] = [
  { op: "mkdir", path: "odd" },
  ...[
    "new\nline",
    "tab\tand space ",
    "quote'\"`$",
    "back\\slash",
    "comma,equals=colon:",
    "-dash",
    "*?[glob]",
    "Ünïcode ☃",
    "\\xff666f80",
    "\\xc3",
  ].map((name): Edit => ({ op: "write", path: `odd/${name}`, content: name })),
  { op: "write", path: longest, content: "a name of 255 bytes" },
  ...deep.map((_, at): Edit => ({ op: "mkdir", path: deep.slice(0, at + 1).join("/") })),
  { op: "write", path: `${deepest}/file`, content: "far down" },
  { op: "node", path: "pipe", kind: "fifo" },
  { op: "node", path: "null", kind: "character", device: [1, 3] },
  { op: "node", path: "disk", kind: "block", device: [253, 70_000] },
  { op: "chmod", path: "null", mode: 0o666 },
  { op: "chown", path: "disk", uid: 0, gid: 6 },
  { op: "sparse", path: "holes", hole: 3_000_000, content: "after the hole" },
  { op: "write", path: "before", content: "1" },
  { op: "touch", path: "before", mtime: 1 },
  { op: "write", path: "fraction", content: "1" },
  { op: "touch", path: "fraction", mtime: 1_000_000_000.25 },
  { op: "write", path: "set-id", content: "#!" },
  { op: "chown", path: "set-id", uid: 70_000, gid: 4_000_000_000 },
  { op: "chmod", path: "set-id", mode: 0o6711 },
  { op: "write", path: "unreadable", content: "0" },
  { op: "chmod", path: "unreadable", mode: 0 },
  { op: "symlink", path: "long-link", target: `${"../".repeat(60)}${longest}` },
  { op: "mkdir", path: "full" },
  { op: "write", path: "full/inside", content: "1" },
  { op: "mkdir", path: "empty-one" },
];

/** Changes to the unusual tree: nodes replaced by others, renames over existing nodes, links to nodes of lower layers. */
export const unusualChanges: readonly Edit[] = [
  { op: "remove", path: "odd/\\xff666f80" },
  { op: "write", path: "odd/\\xff01", content: "" },
  { op: "append", path: "odd/new\nline", content: "+" },
  { op: "rename", path: "odd/-dash", to: "odd/*?[glob]" },
  { op: "rename", path: longest, to: "m".repeat(255) },
  { op: "remove", path: deep.slice(0, 20).join("/") },
  { op: "remove", path: "pipe" },
  { op: "mkdir", path: "pipe" },
  { op: "remove", path: "null" },
  { op: "node", path: "null", kind: "block", device: [1, 3] },
  { op: "remove", path: "disk" },
  { op: "symlink", path: "disk", target: "null" },
  { op: "append", path: "holes", content: "!" },
  { op: "link", path: "second-name", to: "before" },
  { op: "rename", path: "fraction", to: "set-id" },
  // A directory is renamed over an empty one, and a new one is made in its old place.
  { op: "rename", path: "full", to: "empty-one" },
  { op: "mkdir", path: "full" },
  { op: "write", path: "full/other", content: "2" },
];

/** `count` edits of the results of earlier lists; the same seed gives the same edits. */
export function randomEdits(seed: number, lists: number, count: number): readonly (readonly Edit[])[] {
  const next = random(seed);
  const pick = <T>(items: readonly T[]): T | undefined => items[Math.floor(next() * items.length)];
  const files = new Set<string>();
  const directories = new Set<string>(["."]);
  let made = 0;
  const fresh = (): string => {
    const parent = pick([...directories]) ?? ".";
    return `${parent === "." ? "" : `${parent}/`}n${made++}`;
  };
  const forget = (path: string): void => {
    for (const set of [files, directories]) for (const each of set) if (each === path || each.startsWith(`${path}/`)) set.delete(each);
  };
  const one = (): readonly Edit[] => {
    const kind = Math.floor(next() * 8);
    const file = pick([...files]);
    const directory = pick([...directories].filter((path) => path !== "."));
    if (kind <= 1 || file === undefined) {
      const path = fresh();
      files.add(path);
      return [{ op: "write", path, content: `content ${Math.floor(next() * 1e9)}` }];
    }
    if (kind === 2 || directory === undefined) {
      const path = fresh();
      directories.add(path);
      return [{ op: "mkdir", path, mode: pick([0o755, 0o700, 0o1777]) ?? 0o755 }];
    }
    if (kind === 3) return [{ op: "append", path: file, content: "+" }];
    if (kind === 4) return [{ op: "chmod", path: file, mode: pick([0o600, 0o644, 0o755, 0o444]) ?? 0o644 }];
    if (kind === 5) {
      const to = fresh();
      forget(file);
      files.add(to);
      return [{ op: "rename", path: file, to }];
    }
    if (kind === 6) {
      forget(file);
      return [{ op: "remove", path: file }];
    }
    forget(directory);
    directories.add(directory);
    return [
      { op: "remove", path: directory },
      { op: "mkdir", path: directory, mode: 0o755 },
    ];
  };
  return Array.from({ length: lists }, () => Array.from({ length: count }, one).flat());
}

/** mulberry32: small, and deterministic on every platform. */
function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
