/**
 * A process beside a container whose root is an image's tree: tools for a container that has none. Its layer is removed when the process
 * ends.
 */
import { type ActiveKey, type Call, type Container, type Exec, type ExecId, type ExecLaunch, isTsboxError } from "@tsbox/kernel";
import type { Engine } from "./engine.ts";
import { besideSpec, type ExecTemplate } from "./spec/exec-process.ts";
import { resolveUser } from "./spec/user.ts";

const layerOf = (id: ExecId): ActiveKey => `tools-${id}` as ActiveKey;

/** The exec that a layer belongs to, by the layer's key; null: it is no layer of tools. */
export const toolsOwner = (key: string): ExecId | null => (/^tools-([0-9a-f]{64})$/.exec(key)?.[1] ?? null) as ExecId | null;

export async function launchBeside(
  engine: Pick<Engine, "hooks" | "host" | "images" | "preferred" | "storage">,
  call: Call,
  record: Container,
  { id, config }: Exec,
  image: string,
  template: ExecTemplate,
): Promise<ExecLaunch> {
  const storageId = await engine.preferred("storage");
  const { id: imageId } = await engine.images.ensure(call, image, {});
  const parent = await engine.images.unpack(call, imageId, storageId);
  const storage = await engine.storage(storageId);
  const rootfs = await storage.prepare(call, layerOf(id), parent, { volatile: true, discarded: true });
  const user = await resolveUser(call, engine.host, rootfs, config.user || "0");
  const spec = besideSpec(template, record.config, config, user, record.pid ?? 0, record.idMaps);
  await engine.hooks.beforeExec(call, record.id, spec.process);
  const { idMaps } = record;
  return {
    kind: "beside",
    spec,
    rootfs: idMaps === null ? rootfs : rootfs.map((mount) => ({ ...mount, idMaps })),
    filter: template.filter,
  };
}

/** The host's preferred driver may be another one by now (`storage migrate`). */
export async function removeTools(engine: Pick<Engine, "call" | "storage" | "storageIds">, id: ExecId): Promise<void> {
  for (const storage of await engine.storageIds()) {
    try {
      await (await engine.storage(storage)).remove(engine.call(), layerOf(id));
      return;
    } catch (error) {
      // It was never created, or not there.
      if (!isTsboxError(error) || error.code !== "NotFound") throw error;
    }
  }
}
