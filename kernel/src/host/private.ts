/**
 * Directories that nobody but root may enter. Layers hold set-user-ID programs of their images, which would run as root for any user who
 * reaches them (CVE-2021-41091), and records hold what users gave with `-e`.
 */
import { chmodSync, mkdirSync, readdirSync, statSync } from "node:fs";

/** Made where it is missing, tightened where it is open: older engines made theirs passable for everybody. */
export function makePrivate(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const mode = statSync(path).mode & 0o7777;
  if ((mode & 0o077) !== 0) chmodSync(path, mode & 0o700);
}

/**
 * The same for the engine's root directory, unless it is a directory of somebody else's that the engine was put into: then others may need
 * it, and only what the engine makes in it is private. `isOurs`: an engine was here before.
 */
export function makeRootPrivate(root: string, isOurs: boolean): void {
  mkdirSync(root, { recursive: true, mode: 0o700 });
  // The launcher has Node keep its compiled code in `cache`; a first start that was killed may have left the other.
  if (isOurs || readdirSync(root).every((name) => name === "cache" || name === "engine-id.new")) makePrivate(root);
}
