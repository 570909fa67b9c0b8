/** An image's history, from its config; and the size of its layers on disk. */
import { type Call, type ContentService, type Digest, type HistoryEntry, isTsboxError, type SnapshotName } from "@tsbox/kernel";
import type { ImagesEngine, OpenStorage } from "./engine.ts";
import type { ImageRecord } from "./records.ts";
import { adoptedName, chainIds } from "./unpack.ts";

/** One step in OCI's config. */
export interface Step {
  readonly created?: string;
  readonly created_by?: string;
  readonly author?: string;
  readonly comment?: string;
  readonly empty_layer?: boolean;
}

export async function rawConfig(content: ContentService, call: Call, record: ImageRecord): Promise<Readonly<Record<string, unknown>>> {
  return JSON.parse(Buffer.from(await content.read(call, record.rawConfig)).toString()) as Readonly<Record<string, unknown>>;
}

/** A config's steps, at least one for each layer: steps without a text come first if the history is shorter. */
export function stepsOf(config: Readonly<Record<string, unknown>>, layers: number): readonly Step[] {
  const steps = ((Array.isArray(config.history) ? config.history : []) as readonly (Step | null)[]).map((step) => step ?? {});
  const missing = layers - steps.filter((step) => step.empty_layer !== true).length;
  const nameless: Step = typeof config.created === "string" ? { created: config.created } : {};
  return [...Array.from({ length: Math.max(0, missing) }, () => nameless), ...steps];
}

/** The names of the image's snapshots, the lowest layer first. */
export function chainOf(record: ImageRecord): readonly SnapshotName[] {
  const known = chains.get(record);
  if (known !== undefined) return known;
  const chain = chainIds(record.diffIds, record.adopted === null ? null : adoptedName(record.adopted));
  chains.set(record, chain);
  return chain;
}

/** The cache of `chainOf`: a record never changes. */
const chains = new WeakMap<ImageRecord, readonly SnapshotName[]>();

export async function layersOf(
  engine: ImagesEngine,
  call: Call,
  record: ImageRecord,
): Promise<readonly { readonly name: SnapshotName; readonly bytes: number }[]> {
  const storages = await engine.storages();
  const found: { name: SnapshotName; bytes: number }[] = [];
  for (const name of chainOf(record)) {
    let bytes: number | null = null;
    for (const one of storages) if (bytes === null) bytes = await layerSize(engine, call, one, name);
    found.push({ name, bytes: bytes ?? 0 });
  }
  return found;
}

/** Null: the layer is not unpacked with this driver. */
async function layerSize(engine: ImagesEngine, call: Call, { id, storage }: OpenStorage, name: SnapshotName): Promise<number | null> {
  // A committed snapshot never changes, so its size is cached.
  const key = `${id} ${name}`;
  const known = engine.sizes.get(key);
  if (known !== undefined) return known;
  try {
    const { bytes } = await storage.usage(call, name);
    engine.sizes.set(key, bytes);
    return bytes;
  } catch (error) {
    if (!isTsboxError(error) || error.code !== "NotFound") throw error;
    return null;
  }
}

export async function history(engine: ImagesEngine, call: Call, record: ImageRecord): Promise<readonly HistoryEntry[]> {
  const config = await rawConfig(engine.content, call, record);
  const sizes = (await layersOf(engine, call, record)).map(({ bytes }) => bytes);
  let layer = 0;
  const entries = stepsOf(config, record.diffIds.length).map((step) => {
    const size = step.empty_layer === true ? 0 : (sizes[layer++] ?? 0);
    return {
      createdAt: Date.parse(step.created ?? "") || 0,
      createdBy: step.created_by ?? "",
      comment: step.comment ?? "",
      size,
    };
  });
  // The last step made this image; earlier ones made its parents, as far as they exist here.
  let at: Digest | null = record.id;
  return entries.reverse().map((entry) => {
    const image: ImageRecord | null = at === null ? null : engine.records.known(at);
    at = image?.parent ?? null;
    return { image: image === null ? null : engine.records.show(image), ...entry };
  });
}
