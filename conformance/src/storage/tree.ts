/** The contents of a file tree as data that can be compared: every storage rule uses it. */
import { expect } from "../rule.ts";

export type TreeNode = {
  readonly type: "directory" | "file" | "symlink" | "fifo" | "character" | "block" | "socket";
  /** Permission bits; a symlink's are always 0o777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** A file's bytes as text, a symlink's target, a device's number; null for other types. */
  readonly content: string | null;
  /** Milliseconds; null for directories, whose times depend on the order of edits below them. */
  readonly mtime: number | null;
  /** The first path, in order, of the same file under several names; null: the file has one name. */
  readonly sameAs: string | null;
};
/** By path, without a leading slash; the root is ".". A name that is not UTF-8 is `\\x` and its bytes in hex. */
export type Tree = ReadonlyMap<string, TreeNode>;

export type Edit =
  | { readonly op: "mkdir"; readonly path: string; readonly mode?: number }
  | { readonly op: "write"; readonly path: string; readonly content: string }
  | { readonly op: "append"; readonly path: string; readonly content: string }
  | { readonly op: "symlink"; readonly path: string; readonly target: string }
  | { readonly op: "link"; readonly path: string; readonly to: string }
  /** Also removes everything below it. */
  | { readonly op: "remove"; readonly path: string }
  /** Like mv(1): copies if rename(2) answers EXDEV, as overlayfs does for a directory of a lower layer. */
  | { readonly op: "rename"; readonly path: string; readonly to: string }
  | { readonly op: "chmod"; readonly path: string; readonly mode: number }
  | { readonly op: "chown"; readonly path: string; readonly uid: number; readonly gid: number }
  /** Seconds since the epoch. */
  | { readonly op: "touch"; readonly path: string; readonly mtime: number }
  /** `device`: major and minor; not for a fifo. */
  | {
      readonly op: "node";
      readonly path: string;
      readonly kind: "fifo" | "character" | "block";
      readonly device?: readonly [number, number];
    }
  /** A hole of that many bytes, and `content` after it. */
  | { readonly op: "sparse"; readonly path: string; readonly hole: number; readonly content: string };

/** Compares two trees. Without a `touch` a file's time comes from the clock, so times are compared only if both sides were touched. */
export function expectSame(actual: Tree, expected: Tree, what: string): void {
  const differences: string[] = [];
  for (const path of [...new Set([...actual.keys(), ...expected.keys()])].sort()) {
    const left = actual.get(path);
    const right = expected.get(path);
    if (left === undefined) differences.push(`${path} is missing`);
    else if (right === undefined) differences.push(`${path} should not be there`);
    else differences.push(...differing(path, left, right));
  }
  expect(
    differences.length === 0,
    `${what}: ${differences.slice(0, 5).join("; ")}${differences.length > 5 ? `; and ${differences.length - 5} more` : ""}`,
  );
}

/** Edits set whole seconds in the past; any later time comes from the clock. */
export const touchedBefore = 1_700_000_000_000;

function differing(path: string, left: TreeNode, right: TreeNode): readonly string[] {
  const found: string[] = [];
  for (const field of ["type", "mode", "uid", "gid", "content", "sameAs"] as const) {
    if (left[field] !== right[field]) found.push(`${path}: ${field} is ${shown(left[field])} instead of ${shown(right[field])}`);
  }
  const touched = right.mtime !== null && right.mtime < touchedBefore;
  if (touched && left.mtime !== right.mtime) found.push(`${path}: mtime is ${left.mtime} instead of ${right.mtime}`);
  return found;
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "undefined";
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
