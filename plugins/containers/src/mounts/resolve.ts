/**
 * Decides once, at creation, what is mounted in a container: finds or creates volumes and claims them, opens images as views, checks bind
 * sources.
 */
import { createHash } from "node:crypto";
import {
  type Call,
  type Cleanup,
  type Container,
  type ContainerConfig,
  type ContainerId,
  cleanupCall,
  fail,
  type ImageRequest,
  isTsboxError,
  limits,
  type MountPoint,
  type MountRequest,
  type StorageDriver,
  type ViewKey,
  type VolumePoint,
  type VolumeRequest,
  type VolumesFrom,
} from "@tsbox/kernel";
import type { Engine } from "../engine.ts";
import { sourceExists } from "./sources.ts";

export interface Making {
  readonly id: ContainerId;
  readonly config: ContainerConfig;
  readonly storage: StorageDriver;
  readonly storageId: string;
  readonly cleanup: Cleanup;
}
export interface Settled {
  readonly points: readonly MountPoint[];
  /** Volumes that get a copy of the image's files at their targets if they are empty. */
  readonly fills: readonly VolumePoint[];
}

/**
 * Resolves the mounts. `NotFound` becomes `InvalidArgument`: Docker's clients take "not found" from a create for "no such image", and would
 * pull an image that exists.
 */
export async function resolveMounts(engine: Pick<Engine, "images" | "records" | "volumes">, call: Call, making: Making): Promise<Settled> {
  try {
    return await settle(engine, call, making);
  } catch (error) {
    if (isTsboxError(error) && error.code === "NotFound") throw fail("InvalidArgument", error.message, { cause: error });
    throw error;
  }
}

/**
 * Docker's order: mounts of other containers first, then the requested ones, then anonymous volumes at free targets. A later mount replaces
 * an earlier one at the same target.
 */
async function settle(engine: Pick<Engine, "images" | "records" | "volumes">, call: Call, making: Making): Promise<Settled> {
  const { config } = making;
  const others = config.volumesFrom.map((from) => ({ from, points: inherited(engine.records.find(from.container), from) }));
  // Before anything is made: each of them is a directory, a mount and a record.
  const count = config.mounts.length + config.volumes.length + others.reduce((sum, { points }) => sum + points.length, 0);
  if (count > limits.mostMounts)
    throw fail("InvalidArgument", `too many mounts: ${count}, and a container may have ${limits.mostMounts}; give fewer, or one for all`);
  const asked = new Set<string>();
  for (const { target } of config.mounts) {
    if (asked.has(target)) throw fail("InvalidArgument", `Duplicate mount point: ${target}`);
    asked.add(target);
  }
  const points = new Map<string, MountPoint>();
  for (const { points: found } of others) for (const point of found) if (!asked.has(point.target)) points.set(point.target, point);
  for (const point of points.values()) if (point.kind === "volume") await claim(engine, call, making, point.name);
  const fills: VolumePoint[] = [];
  const own = config.volumes.map(cleanTarget).filter((target) => !asked.has(target) && !points.has(target));
  for (const request of [...config.mounts, ...new Set(own)].map((one) => (typeof one === "string" ? imageVolume(one) : one))) {
    const point = await resolve(engine, call, making, request);
    points.set(point.target, point);
    if (point.kind === "volume" && request.kind === "volume" && request.copy && point.subpath === "") fills.push(point);
  }
  return { points: [...points.values()], fills };
}

const imageVolume = (target: string): VolumeRequest => ({
  kind: "volume",
  target,
  readOnly: false,
  name: null,
  driver: null,
  options: {},
  labels: {},
  copy: true,
  subpath: "",
  mode: "",
});

/** An absolute path without dots, double slashes or a trailing slash. */
export function cleanTarget(target: string): string {
  const parts: string[] = [];
  for (const part of target.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

function inherited(other: Container, { readOnly }: VolumesFrom): readonly MountPoint[] {
  return other.mounts
    .filter((point) => point.kind === "bind" || point.kind === "volume")
    .map((point) => ({ ...point, readOnly: readOnly ?? point.readOnly, mode: readOnly === null ? point.mode : readOnly ? "ro" : "rw" }));
}

async function resolve(
  engine: Pick<Engine, "images" | "records" | "volumes">,
  call: Call,
  making: Making,
  request: MountRequest,
): Promise<MountPoint> {
  switch (request.kind) {
    case "bind": {
      if (!request.createSource && !sourceExists(request.source))
        throw fail("InvalidArgument", `invalid mount config for type "bind": bind source path does not exist: ${request.source}`);
      return { ...request, propagation: request.propagation ?? "rprivate" };
    }
    case "volume":
      return resolveVolume(engine, call, making, request);
    case "image":
      return resolveImage(engine, call, making, request);
    default:
      return request;
  }
}

async function claim(engine: Pick<Engine, "volumes">, call: Call, { id, cleanup }: Making, name: string): Promise<void> {
  await engine.volumes.claim(call, name, id);
  cleanup.undo(() => engine.volumes.release(cleanupCall(call), name, id));
}

async function resolveVolume(
  engine: Pick<Engine, "images" | "records" | "volumes">,
  call: Call,
  making: Making,
  request: VolumeRequest,
): Promise<VolumePoint> {
  const { id, config, cleanup } = making;
  const { target, readOnly, subpath, mode, name } = request;
  const volume = await engine.volumes.create(call, {
    name,
    ...(request.driver === null ? {} : { driver: request.driver }),
    options: request.options,
    labels: request.labels,
    claim: id,
    volatile: name === null && config.autoRemove,
  });
  // As in Docker, a volume with a name stays after a failed create: somebody else may have begun to use it.
  cleanup.undo(async () => {
    const late = cleanupCall(call);
    await engine.volumes.release(late, volume.name, id);
    if (name === null) await engine.volumes.remove(late, volume.name, { force: true }).catch(inUse);
  });
  return {
    kind: "volume",
    target,
    readOnly,
    name: volume.name,
    driver: volume.driver,
    source: volume.mountpoint,
    subpath,
    mode,
    anonymous: name === null,
  };
}

/** Ignores that another container has claimed the volume meanwhile: it then stays. */
function inUse(error: unknown): void {
  if (!isTsboxError(error) || error.code !== "Conflict") throw error;
}

async function resolveImage(
  engine: Pick<Engine, "images">,
  call: Call,
  { id, storage, storageId, cleanup }: Making,
  request: ImageRequest,
): Promise<MountPoint> {
  const { target, reference, subpath } = request;
  const image = await engine.images.ensure(call, reference);
  const parent = await engine.images.unpack(call, image.id, storageId);
  const view = viewKey(id, target);
  await storage.view(call, view, parent);
  cleanup.undo(() => storage.remove(cleanupCall(call), view));
  return { kind: "image", target, readOnly: true, reference, imageId: image.id, view, subpath };
}

/** A key is safe as a file name; a target is not, so it is hashed. */
const viewKey = (id: ContainerId, target: string): ViewKey =>
  `mount-${id}-${createHash("sha256").update(target).digest("hex").slice(0, 16)}` as ViewKey;
