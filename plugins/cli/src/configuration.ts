/**
 * The user's own docker configuration: `config.json` in `--config DIR`, DOCKER_CONFIG or ~/.docker. native/client/src/config.rs does the
 * same for clients of this host.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Strings } from "@tsbox/kernel";
import { globalFlag } from "./global-flags.ts";

/** The directory; null: there is none. */
export function configurationDirectory(argv: readonly string[], environment: Strings): string | null {
  const home = environment.HOME ? join(environment.HOME, ".docker") : null;
  return globalFlag(argv, "--config") ?? (environment.DOCKER_CONFIG || home);
}

/** `detachKeys`; null: there are none. As in docker, a file that can't be read or is not JSON is only a warning. */
export function configuredKeys(argv: readonly string[], environment: Strings, warn: (text: string) => void): string | null {
  const directory = configurationDirectory(argv, environment);
  if (directory === null) return null;
  const path = join(directory, "config.json");
  try {
    const { detachKeys } = JSON.parse(readFileSync(path, "utf8")) as { readonly detachKeys?: unknown };
    return typeof detachKeys === "string" && detachKeys !== "" ? detachKeys : null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    warn(`WARNING: Error loading config file: ${path}: ${error instanceof Error ? error.message : String(error)}\n`);
    return null;
  }
}
