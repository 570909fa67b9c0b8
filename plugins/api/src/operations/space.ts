/** Disk usage, and freeing it: `system df` and the prunes. */
import { statSync } from "node:fs";
import {
  asError,
  type Call,
  type Container,
  type ContainersService,
  type ContentService,
  type Credentials,
  type EventsService,
  type FilesApi,
  type FilesService,
  type Filters,
  type Finding,
  fail,
  type Image,
  type ImagesService,
  type ImageUser,
  isTsboxError,
  type Json,
  type VolumesService,
} from "@tsbox/kernel";
import { imageIds } from "./container-list.ts";
import { credentialsOf } from "./credentials.ts";
import { hasLabel } from "./filters.ts";
import { listContainer, listImage } from "./show.ts";
import { ownSize, shownSizes } from "./sizes.ts";
import { parseTime } from "./times.ts";
import { showVolume } from "./volumes.ts";

export interface SpaceServices {
  readonly containers: ContainersService;
  readonly images: ImagesService;
  readonly files: FilesService;
  readonly content: ContentService;
  readonly volumes: VolumesService;
  readonly events: EventsService;
}
type SpaceVerbs = Pick<FilesApi, "containerPrune" | "imagePrune" | "systemDiskUsage" | "systemCheck">;

/** Containers use the image that they were created from, and images that they mount. */
export const usersOf = (containers: readonly Container[]): readonly ImageUser[] =>
  containers.flatMap(({ id, imageId, mounts, status }) => {
    const mounted = mounts.flatMap((point) => (point.kind === "image" ? (point.imageId ?? []) : []));
    return [...new Set([imageId, ...mounted])].map((image) => ({
      container: id,
      image,
      running: status === "running" || status === "paused",
    }));
  });

export function spaceVerbs(services: SpaceServices): SpaceVerbs {
  const { containers, images, files, events } = services;
  const pruned = (call: Call, type: "container" | "image", bytes: number): Promise<void> =>
    events.publish(call, { type, action: "prune", id: "", attributes: { reclaimed: String(bytes) } });
  return {
    containerPrune: async (call, { filters }) => {
      const wanted = pruneFilter(filters, ["until", "label", "label!"]);
      const deleted: string[] = [];
      let freed = 0;
      for (const record of await containers.list(call)) {
        if (record.status === "running" || record.status === "paused" || !wanted(record.createdAt, record.config.labels)) continue;
        const size = await files.size(call, record.id).catch(() => 0);
        try {
          await containers.remove(call, record.id, {});
        } catch (error) {
          // The container was started or removed meanwhile.
          if (!isTsboxError(error) || (error.code !== "Conflict" && error.code !== "NotFound")) throw error;
          continue;
        }
        deleted.push(record.id);
        freed += size;
      }
      await pruned(call, "container", freed);
      return { ContainersDeleted: deleted.length > 0 ? deleted : null, SpaceReclaimed: freed };
    },
    imagePrune: async (call, { filters }) => {
      const { dangling, ...rest } = filters ?? {};
      const all = danglingOf(dangling) === false;
      const wanted = pruneFilter(rest, ["until", "label", "label!"]);
      const [list, users] = await Promise.all([images.list(call), containers.list(call)]);
      const only = list.filter((image) => wanted(image.createdAt, image.config.labels)).map((image) => image.id);
      const { removed, freed } = await images.prune(call, {
        all,
        users: usersOf(users),
        ...(Object.keys(rest).length > 0 ? { only } : {}),
      });
      const lines = removed.map((line) => ("untagged" in line ? { Untagged: line.untagged } : { Deleted: line.deleted }));
      await pruned(call, "image", freed);
      return { ImagesDeleted: lines.length > 0 ? lines : null, SpaceReclaimed: freed };
    },
    systemCheck: async (call, { repair, auths = {} }) => {
      const credentials = Object.fromEntries(
        Object.entries(auths).flatMap(([registry, auth]): [string, Credentials][] => {
          const known = credentialsOf(auth);
          return known === null ? [] : [[registry, known]];
        }),
      );
      const found = [...(await images.check(call, { repair: repair === true, credentials })), ...(await containerFaults(services, call))];
      return {
        Findings: found.map(({ what, cure, mended, registry }) => ({ What: what, Cure: cure, Mended: mended, Registry: registry })),
      };
    },
    systemDiskUsage: async (call, { types }) => diskUsage(services, call, new Set(types ?? [])),
  };
}

/** A container's own files can't be recovered, so nothing is repaired here. */
async function containerFaults({ containers, files }: SpaceServices, call: Call): Promise<readonly Finding[]> {
  const faults: Finding[] = [];
  for (const { id, name } of await containers.list(call)) {
    const failure = await files.size(call, id).then(
      () => null,
      (error: unknown) => asError(error),
    );
    call.signal.throwIfAborted();
    // A container may nest its directories deeper than the longest path: then its size is unknown, and that is not a fault.
    const isFault = failure !== null && !(isTsboxError(failure) && failure.code === "InvalidArgument");
    if (!isFault || !(await containers.list(call)).some((one) => one.id === id)) continue;
    const isGone = isTsboxError(failure) && failure.code === "NotFound";
    faults.push({
      what: `container ${name}: its layer ${isGone ? "is missing" : `can't be read: ${failure.message}`}`,
      cure: isGone ? `its files are lost; remove it with \`tsbox rm -f ${name}\`` : "look after the disk of the engine's root directory",
      mended: false,
      registry: null,
    });
  }
  return faults;
}

async function diskUsage(services: SpaceServices, call: Call, types: ReadonlySet<string>): Promise<Json> {
  const known = ["container", "image", "volume", "build-cache"];
  for (const type of types) if (!known.includes(type)) throw fail("InvalidArgument", `unknown object type: ${type}`);
  const wants = (type: string): boolean => types.size === 0 || types.has(type);
  const [pictures, records] = await Promise.all([services.images.list(call), services.containers.list(call)]);
  const left = wants("image") ? await services.images.leftovers(call) : { count: 0, bytes: 0 };
  return {
    ...(left.count > 0 ? { TsboxLeftovers: { Count: left.count, Size: left.bytes } } : {}),
    ...(wants("image") ? await imageUsage(services, call, pictures, records) : {}),
    ...(wants("container") ? { Containers: await containerUsage(services, call, pictures, records) } : {}),
    ...(wants("volume") ? { Volumes: await volumeUsage(services, call) } : {}),
    ...(wants("build-cache") ? { BuildCache: [], BuilderSize: 0 } : {}),
  };
}

/** Each layer counts once, however many images have it. */
async function imageUsage(
  { images, content }: SpaceServices,
  call: Call,
  pictures: readonly Image[],
  records: readonly Container[],
): Promise<Json> {
  const layers = new Map<string, { readonly bytes: number; images: number }>();
  const own = new Map<string, readonly { readonly name: string; readonly bytes: number }[]>();
  for (const image of pictures) {
    const list = await images.layers(call, image.id);
    own.set(image.id, list);
    for (const { name, bytes } of list) layers.set(name, { bytes, images: (layers.get(name)?.images ?? 0) + 1 });
  }
  let blobs = 0;
  let count = 0;
  for await (const { digest } of await content.list(call)) {
    blobs += statSync(await content.path(call, digest), { throwIfNoEntry: false })?.blocks ?? 0;
    count += 1;
  }
  return {
    LayersSize: [...layers.values()].reduce((sum, { bytes }) => sum + bytes, 0),
    Images: pictures.map((image) => {
      const list = own.get(image.id) ?? [];
      const shared = list.filter(({ name }) => (layers.get(name)?.images ?? 0) > 1);
      return {
        ...listImage(image, records.filter((record) => record.imageId === image.id).length),
        Size: list.reduce((sum, { bytes }) => sum + bytes, 0),
        SharedSize: shared.reduce((sum, { bytes }) => sum + bytes, 0),
      };
    }),
    // The compressed blobs that images were pulled as, in addition to their unpacked layers.
    TsboxBlobs: { Count: count, Size: blobs * 512 },
  };
}

async function containerUsage(
  { files, images }: SpaceServices,
  call: Call,
  pictures: readonly Image[],
  records: readonly Container[],
): Promise<readonly Json[]> {
  const rows: Json[] = [];
  const ids = await imageIds(call, images, records);
  for (const record of records) {
    const own = await ownSize(files, call, record.id);
    if (own === null) continue;
    const image = pictures.find(({ id }) => id === record.imageId);
    rows.push({ ...listContainer(record, ids.get(record.imageName) ?? null), ...shownSizes(own, image?.size ?? 0) });
  }
  return rows;
}

async function volumeUsage({ volumes }: SpaceServices, call: Call): Promise<readonly Json[]> {
  const rows: Json[] = [];
  for (const volume of await volumes.list(call)) {
    const usage = await volumes.usage(call, volume.name).catch(() => null);
    const users = await volumes.users(call, volume.name);
    rows.push({ ...showVolume(volume), UsageData: { RefCount: users.length, Size: usage?.bytes ?? -1 } });
  }
  return rows;
}

function danglingOf(values: readonly string[] | undefined): boolean | null {
  if (values === undefined || values.length === 0) return null;
  const said = new Set(
    values.map((value) => {
      if (["1", "true"].includes(value)) return true;
      if (["0", "false"].includes(value)) return false;
      throw fail("InvalidArgument", `invalid filter 'dangling=[${values.join(" ")}]'`);
    }),
  );
  if (said.size > 1) throw fail("InvalidArgument", `invalid filter 'dangling=[${values.join(" ")}]'`);
  return said.has(true);
}

/** Docker's filters of a prune: created before `until`, with every `label`, without any `label!`. */
export function pruneFilter(
  filters: Filters | undefined,
  known: readonly string[],
): (createdAt: number, labels: Readonly<Record<string, string>>) => boolean {
  for (const key of Object.keys(filters ?? {})) if (!known.includes(key)) throw fail("InvalidArgument", `invalid filter '${key}'`);
  const [until, ...more] = filters?.until ?? [];
  if (more.length > 0) throw fail("InvalidArgument", "more than one until filter specified");
  const before = until === undefined ? Number.POSITIVE_INFINITY : parseTime(until);
  const [has, lacks] = [filters?.label ?? [], filters?.["label!"] ?? []];
  return (createdAt, labels) =>
    createdAt <= before && has.every((wanted) => hasLabel(labels, wanted)) && !lacks.some((wanted) => hasLabel(labels, wanted));
}
