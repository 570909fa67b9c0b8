/** A shim comes before its container, which may have others to wait for: it is spawned as soon as it is known that there will be a start. */
import { mkdirSync } from "node:fs";
import type { Call, Container, ContainerId, ShimState } from "@tsbox/kernel";
import type { Engine } from "./engine.ts";
import { ownsNamespace } from "./networks.ts";

/** What a shim is made by. */
type Wanted = Pick<Container, "id" | "config" | "networks">;

/** Ahead of `takeShim`, which finds it. */
export function spawnEarly(engine: Engine, call: Call, record: Wanted): Promise<ShimState> {
  const { id } = record;
  const known = engine.early.get(id);
  if (known !== undefined) return known;
  const spawning = spawn(engine, call, record);
  engine.early.set(id, spawning);
  // The start tries again, and says what is wrong.
  spawning.catch(() => engine.early.delete(id));
  return spawning;
}

export function takeShim(engine: Engine, call: Call, record: Wanted): Promise<ShimState> {
  const spawning = engine.early.get(record.id) ?? spawn(engine, call, record);
  engine.early.delete(record.id);
  return spawning;
}

/** There will be no start. */
export async function dropEarly(engine: Engine, call: Call, id: ContainerId): Promise<void> {
  if (!engine.early.delete(id)) return;
  await engine.launcher.abandon(call, id);
  engine.idRanges.free(id);
}

/** For a container that does not run, in its directory, which a restart of the host has taken away. */
async function spawn(engine: Engine, call: Call, record: Wanted): Promise<ShimState> {
  const { config, id } = record;
  const directory = engine.records.directory(id);
  mkdirSync(directory, { recursive: true, mode: 0o711 });
  const own = await ownsNamespace(engine, call, record);
  return engine.launcher.spawn(call, id, directory, {
    network: own ? "new" : "none",
    idMaps: config.isolation.user === "private" ? engine.idRanges.of(id) : null,
  });
}
