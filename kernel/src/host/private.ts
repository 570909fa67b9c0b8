/**
 * Directories that only root may enter. Layers hold set-user-ID programs of their images, which would run as root for any user who reaches
 * them (CVE-2021-41091), and records hold secrets that users pass with `-e`.
 */
import { chmodSync, mkdirSync, readdirSync, statSync } from "node:fs";

/**
 * Creates a missing directory, and removes the access of others from an existing one: older engines made theirs accessible to everybody.
 */
export function makePrivate(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const mode = statSync(path).mode & 0o7777;
  if ((mode & 0o077) !== 0) chmodSync(path, mode & 0o700);
}

/**
 * The same for the engine's root directory, unless it is a directory with other files that the operator chose as the root: other users may
 * need that one, and only what the engine creates in it is private. `isOurs`: an engine has used it before.
 */
export function makeRootPrivate(root: string, isOurs: boolean): void {
  mkdirSync(root, { recursive: true, mode: 0o700 });
  // The launcher makes Node keep its compiled code in `cache`. A first start that was killed may have left `engine-id.new`.
  if (isOurs || readdirSync(root).every((name) => name === "cache" || name === "engine-id.new")) makePrivate(root);
}
