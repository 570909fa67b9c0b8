/**
 * A shim comes before its container, which may have others to wait for: it is spawned as soon as it is known that there will be a start.
 */
import type { Call, Container, ContainerId, ShimState } from "@tsbox/kernel";
import type { Engine, ShimSupply } from "./engine.ts";
import { ownsNamespace } from "./networks.ts";

/** What a shim before its container needs of the engine. */
export type EarlyShimNeeds = ShimSupply & Pick<Engine, "networks" | "records">;

/** What a shim is made by. */
type Wanted = Pick<Container, "id" | "config" | "networks">;

/** Answers as soon as the launcher has been asked, with the shim to come, which `takeShim` finds. */
export async function spawnEarly(engine: EarlyShimNeeds, call: Call, wanted: Wanted): Promise<{ readonly shim: Promise<ShimState> }> {
  const { config, id } = wanted;
  const known = engine.early.get(id);
  if (known !== undefined) return { shim: known };
  const network = (await ownsNamespace(engine, call, wanted)) ? "new" : "none";
  engine.records.makeDirectory(id);
  const idMaps = config.isolation.user === "private" ? engine.idRanges.of(id) : null;
  const shim = engine.shims.spawn(call, id, { network, idMaps });
  engine.early.set(id, shim);
  // The start tries again, and says what is wrong.
  shim.catch(() => engine.early.delete(id));
  return { shim };
}

export async function takeShim(engine: EarlyShimNeeds, call: Call, wanted: Wanted): Promise<ShimState> {
  const { shim } = await spawnEarly(engine, call, wanted);
  engine.early.delete(wanted.id);
  return shim;
}

/** There will be no start. */
export async function dropEarly(engine: ShimSupply, call: Call, id: ContainerId): Promise<void> {
  if (!engine.early.delete(id)) return;
  await engine.shims.abandon(call, id);
  engine.idRanges.free(id);
}
