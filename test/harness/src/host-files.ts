/**
 * The files of the host that a test could ruin: it runs as root, and makes links and paths that lead out of containers. The runner compares
 * them before and after each test file.
 */
import { readFileSync } from "node:fs";

const paths = ["passwd", "group", "shadow", "gshadow", "hosts", "hostname", "resolv.conf", "fstab", "nsswitch.conf", "profile"].map(
  (name) => `/etc/${name}`,
);

/** The contents by path; null: there is no such file, or it can't be read. */
export type HostFiles = ReadonlyMap<string, string | null>;

export function hostFiles(watched: readonly string[] = paths): HostFiles {
  return new Map(watched.map((path) => [path, contentOf(path)]));
}

/** One line that names the files which have changed since. Null: none has. */
export function changedHostFiles(before: HostFiles): string | null {
  const changed = [...before].flatMap(([path, content]) => (contentOf(path) === content ? [] : path));
  return changed.length === 0 ? null : `files of the host have changed meanwhile: ${changed.join(", ")}: put them back, and mend the test`;
}

function contentOf(path: string): string | null {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return null;
  }
}
