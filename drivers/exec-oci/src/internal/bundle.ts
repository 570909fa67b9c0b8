/** The files of one container that the runtime reads and writes, below the container's own directory. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { OciSpec } from "@tsbox/kernel";
import semver from "semver";

export interface Place {
  readonly directory: string;
  /** The shim mounts the container's root here, in the mount namespace of the launch. */
  readonly root: string;
  readonly pidFile: string;
  readonly log: string;
  readonly consoleSocket: string;
}

/** The socket's name. A socket's path has at most 107 bytes, so the runtime gets it relative to its bundle. */
export const consoleName = "console.sock";

/**
 * Where the root of a container in a user namespace is mounted. Its root is nobody on the host, who may not enter the engine's directories.
 * This one is empty, and stays so: each launch mounts in a mount namespace of its own.
 */
const publicRoot = "/run/tsbox-oci";

export function placeOf(directory: string, { linux }: OciSpec): Place {
  const own = join(directory, "oci");
  const isMapped = linux?.namespaces?.some(({ type }) => type === "user") === true;
  return {
    directory: own,
    root: isMapped ? publicRoot : join(own, "rootfs"),
    pidFile: join(own, "pid"),
    log: join(own, "log.json"),
    consoleSocket: join(own, consoleName),
  };
}

/**
 * Writes `config.json`, and removes what an earlier start has left. `version`: the newest version of the spec that the runtime knows. crun
 * refuses a newer one, even if nothing in the spec needs it.
 */
export function writeBundle(place: Place, spec: OciSpec, version: string): void {
  const { directory } = place;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  for (const file of [place.pidFile, place.log, place.consoleSocket]) rmSync(file, { force: true });
  const root = { ...(typeof spec.root === "object" ? spec.root : {}), path: place.root };
  const ociVersion = semver.lt(version, spec.ociVersion) ? version : spec.ociVersion;
  // The file holds the environment, which other users must not read.
  writeFileSync(join(directory, "config.json"), JSON.stringify({ ...spec, ociVersion, root }), { mode: 0o600 });
}
