/** Words of LXC's configuration, and of the shell that runs its hooks. */
import { lstatSync } from "node:fs";
import { fail } from "@tsbox/kernel";

export const plain = (path: string): string => (path.length > 1 ? path.replace(/\/+$/, "") : path);

/** As in fstab(5). */
export const escaped = (word: string): string =>
  word.replace(/[\s\\]/g, (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, "0")}`);

export const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

export function isDirectory(path: string): boolean {
  try {
    return lstatSync(path).isDirectory();
  } catch {
    return false;
  }
}

export const unsupported = (what: string): Error =>
  fail("Unsupported", `LXC can't express ${what}; leave it out, or use the exec driver native`);
