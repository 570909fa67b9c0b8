/**
 * Spawns a shim before its container is created, as soon as it is known that a start will follow: creating the container may have to wait
 * for other work.
 */
import type { Call, Container, ContainerId, ShimState } from "@tsbox/kernel";
import type { Engine, ShimSupply } from "./engine.ts";
import { ownsNamespace } from "./networks.ts";

/** The parts of the engine that an early shim needs. */
export type EarlyShimNeeds = ShimSupply & Pick<Engine, "networks" | "records">;

/** The fields of a container that determine its shim. */
type Wanted = Pick<Container, "id" | "config" | "networks">;

/** Returns as soon as the launcher has been asked, with the promise of the shim. `takeShim` picks it up. */
export async function spawnEarly(engine: EarlyShimNeeds, call: Call, wanted: Wanted): Promise<{ readonly shim: Promise<ShimState> }> {
  const { config, id } = wanted;
  const known = engine.early.get(id);
  if (known !== undefined) return { shim: known };
  const network = (await ownsNamespace(engine, call, wanted)) ? "new" : "none";
  engine.records.makeDirectory(id);
  const idMaps = config.isolation.user === "private" ? engine.idRanges.of(id) : null;
  const shim = engine.shims.spawn(call, id, { network, idMaps });
  engine.early.set(id, shim);
  // The start tries again and reports the error.
  shim.catch(() => engine.early.delete(id));
  return { shim };
}

export async function takeShim(engine: EarlyShimNeeds, call: Call, wanted: Wanted): Promise<ShimState> {
  const { shim } = await spawnEarly(engine, call, wanted);
  engine.early.delete(wanted.id);
  return shim;
}

/** Releases the early shim: there will be no start. */
export async function dropEarly(engine: ShimSupply, call: Call, id: ContainerId): Promise<void> {
  if (!engine.early.delete(id)) return;
  await engine.shims.abandon(call, id);
  engine.idRanges.free(id);
}
