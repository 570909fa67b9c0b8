/** Where a container's own files lie, beside its layer and its directory on tmpfs. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { ContainerId } from "@tsbox/kernel";
import type { Engine } from "./engine.ts";

/** On disk: the files of /etc that it may fill, and the log of one that lasts. */
export const diskDirectory = (engine: Pick<Engine, "rootDirectory">, id: ContainerId): string => join(engine.rootDirectory, id);

export function makeDiskDirectory(engine: Pick<Engine, "rootDirectory">, id: ContainerId): string {
  const directory = diskDirectory(engine, id);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return directory;
}
