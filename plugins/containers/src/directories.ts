/** Where a container's own files are, apart from its layer and its directory on tmpfs. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { ContainerId } from "@tsbox/kernel";
import type { Engine } from "./engine.ts";

/** On disk: the container's files of /etc (hosts, hostname, resolv.conf), and the log of a container without `--rm`. */
export const diskDirectory = (engine: Pick<Engine, "rootDirectory">, id: ContainerId): string => join(engine.rootDirectory, id);

export function makeDiskDirectory(engine: Pick<Engine, "rootDirectory">, id: ContainerId): string {
  const directory = diskDirectory(engine, id);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return directory;
}
