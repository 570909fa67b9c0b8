/** A container's mounts while it runs: attached for a start, released after the end. */
import { readFileSync, realpathSync } from "node:fs";
import {
  type BindPoint,
  type Call,
  type Container,
  fail,
  type IdMaps,
  type Mount,
  type MountPoint,
  type OciMount,
  supports,
  type ViewKey,
} from "@tsbox/kernel";
import type { Engine } from "../engine.ts";
import { labelled, relabel } from "../selinux.ts";
import { mappings } from "../spec/build.ts";
import { mountInfo, propagationAt } from "./propagation.ts";
import { makeSource, sourceExists } from "./sources.ts";

/**
 * Attaches all mounts for a start and returns them for the OCI spec. After a failure, `release` detaches those already attached. In a user
 * namespace (`idMaps`), volumes and images, which belong to the engine, show their files with the container's ids, so that one volume
 * serves containers inside and outside of user namespaces. A bind of the host's is not mapped.
 */
export async function attach(
  engine: Pick<Engine, "host" | "storage" | "volumes">,
  call: Call,
  record: Container,
  idMaps: IdMaps | null,
): Promise<readonly OciMount[]> {
  const mounts: OciMount[] = [];
  for (const point of record.mounts) {
    const mount = await attachOne(engine, call, record, point);
    const mapped = idMaps !== null && (point.kind === "volume" || point.kind === "image");
    mounts.push(mapped ? { ...mount, uidMappings: mappings(idMaps.uids), gidMappings: mappings(idMaps.gids) } : mount);
  }
  return mounts;
}

/**
 * Detaches the volumes, and tells the storage driver that the container's root and images are mounted no more. What is not attached is no
 * error.
 */
export async function release(engine: Pick<Engine, "storage" | "volumes">, call: Call, record: Container): Promise<void> {
  const failures: unknown[] = [];
  for (const point of record.mounts)
    if (point.kind === "volume") await engine.volumes.unmount(call, point.name, record.id).catch((error: unknown) => failures.push(error));
  await released(engine, call, record).catch((error: unknown) => failures.push(error));
  if (failures.length > 0) throw failures[0];
}

async function released(engine: Pick<Engine, "storage">, call: Call, { drivers, layer, mounts }: Container): Promise<void> {
  const storage = await engine.storage(drivers.storage);
  if (!supports(storage, "release")) return;
  await storage.released(call, layer);
  for (const point of mounts) if (point.kind === "image") await storage.released(call, point.view as ViewKey);
}

async function attachOne(
  engine: Pick<Engine, "host" | "storage" | "volumes">,
  call: Call,
  record: Container,
  point: MountPoint,
): Promise<OciMount> {
  switch (point.kind) {
    case "bind": {
      const mount = bind(point);
      await relabel(engine, call, record, point.source, point.mode);
      return mount;
    }
    case "volume": {
      const mount = await engine.volumes.mount(call, point.name, record.id, {
        destination: point.target,
        propagation: "",
        "read/write": String(!point.readOnly),
      });
      // Volumes exist for containers, so their files get the label that all containers may use, unless the mount asks for a private one.
      if (mount.type === "bind") await relabel(engine, call, record, mount.source, point.mode.split(",").includes("Z") ? "Z" : "z");
      return shown(point, mount, [...below(point.subpath), ...(point.readOnly ? ["rro"] : []), "rprivate"]);
    }
    case "image": {
      const storage = await engine.storage(record.drivers.storage);
      const [root, ...rest] = await labelled(engine, call, record.selinux, await storage.mounts(call, point.view as ViewKey));
      if (root === undefined || rest.length > 0)
        throw fail(
          "Unsupported",
          `the storage driver of ${record.name} shows an image as several mounts, which can't be mounted inside a container`,
        );
      return shown(point, root, [...below(point.subpath), "ro", "rprivate"]);
    }
    default:
      return {
        destination: point.target,
        type: "tmpfs",
        source: "tmpfs",
        // Docker's own options come first, so that the user's override them.
        options: ["noexec", "nosuid", "nodev", ...point.options, ...(point.readOnly ? ["ro"] : [])],
      };
  }
}

/** The runtime resolves the path below the mounted root: only the runtime sees the container's own mounts. */
const below = (subpath: string): readonly string[] => (subpath === "" ? [] : [`X-mount.subdir=${subpath}`]);

/** Turns the contract's mount into OCI's. */
function shown({ target }: MountPoint, { type, source, options }: Mount, more: readonly string[]): OciMount {
  const bound = type === "bind" && !options.some((option) => option === "bind" || option === "rbind") ? ["rbind"] : [];
  return { destination: target, type, source, options: [...bound, ...options, ...more] };
}

function bind(point: BindPoint): OciMount {
  const { source, target, propagation } = point;
  if (!sourceExists(source)) {
    if (!point.createSource)
      throw fail("InvalidArgument", `invalid mount config for type "bind": bind source path does not exist: ${source}`);
    makeSource(source);
  }
  checkPropagation(source, propagation);
  const readOnly = point.readOnlyDepth === "top" ? "ro" : "rro";
  return {
    destination: target,
    type: "bind",
    source,
    options: [point.recursive ? "rbind" : "bind", ...(point.readOnly ? [readOnly] : []), propagation],
  };
}

/** As in Docker, a mount with shared or slave propagation needs a source on such a mount. */
function checkPropagation(source: string, propagation: string): void {
  const shared = propagation.endsWith("shared");
  if (!shared && !propagation.endsWith("slave")) return;
  const { point, kind } = propagationAt(mountInfo(readFileSync("/proc/self/mountinfo", "utf8")), realpathSync(source));
  if (kind === "shared" || (!shared && kind === "slave")) return;
  throw fail(
    "FailedPrecondition",
    `path ${source} is mounted on ${point} but it is not a shared${shared ? "" : " or slave"} mount; make it one with: mount --make-shared ${point}`,
  );
}
