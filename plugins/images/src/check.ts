/** `system check`: compares the images' records with the data on disk, byte for byte; repairs it by unpacking and pulling again. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import {
  type Access,
  type Call,
  type Credentials,
  type Descriptor,
  type Digest,
  type Finding,
  fail,
  isTsboxError,
  type SnapshotName,
  type StorageDriver,
} from "@tsbox/kernel";
import type { ImagesEngine, OpenStorage } from "./engine.ts";
import { chainOf } from "./history.ts";
import { isDockers, placeOf } from "./place.ts";
import { bring } from "./pull.ts";
import { blobsOf, type ImageRecord } from "./records.ts";
import { familiarName, full, parseReference } from "./reference.ts";
import { unpackImage } from "./unpack.ts";

/** The logins at the registries from which images are pulled again. */
type Logins = Readonly<Record<string, Credentials>>;

/** Every fault that is found. With `repair`, a fault that could not be repaired says why, and the others are `mended`. */
export async function check(engine: ImagesEngine, call: Call, repair: boolean, logins: Logins): Promise<readonly Finding[]> {
  const found: Finding[] = [];
  const sums = new Map<Digest, string | null>();
  const uses = await usesOf(engine, call);
  for (const record of engine.records.all()) {
    const faults = [...(await blobFaults(engine, call, record, sums)), ...(await layerFaults(uses, call, record))];
    if (faults.length === 0) continue;
    const failure = repair ? await mend(engine, call, record, faults, uses, sums, logins) : null;
    for (const { what, blob } of faults) {
      const source = blob === null ? null : sourceOf(engine, record);
      const registry = source === null ? null : parseReference(source).host;
      found.push({ what: `image ${nameOf(engine, record)}: ${what}`, registry, ...outcome(engine, record, repair, failure) });
    }
  }
  return found;
}

interface Fault {
  readonly what: string;
  /** Null: the fault is a missing layer. */
  readonly blob: Digest | null;
  /** Null: the fault is a missing or damaged blob. */
  readonly storage: string | null;
}

/** A storage driver, and the image layers that it has. */
interface Use extends OpenStorage {
  readonly preferred: boolean;
  /** The snapshots that it has, and their parents. */
  readonly names: ReadonlySet<string>;
}

async function usesOf(engine: ImagesEngine, call: Call): Promise<readonly Use[]> {
  const preferred = await engine.preferredStorage();
  const uses: Use[] = [];
  for (const { id, storage } of await engine.storages()) {
    const names = new Set<string>();
    for await (const { kind, key, parent } of await storage.list(call)) {
      if (kind === "committed") names.add(key);
      if (parent !== null) names.add(parent);
    }
    uses.push({ id, storage, preferred: id === preferred, names });
  }
  return uses;
}

/**
 * The layers that the driver should have. The preferred driver has all of the image's layers; another one has those below the highest layer
 * that is in use.
 */
function expected({ preferred, names }: Use, record: ImageRecord): readonly SnapshotName[] {
  const chain = chainOf(record);
  return preferred ? chain : chain.slice(0, chain.findLastIndex((name) => names.has(name)) + 1);
}

async function blobFaults(
  engine: ImagesEngine,
  call: Call,
  record: ImageRecord,
  sums: Map<Digest, string | null>,
): Promise<readonly Fault[]> {
  const faults: Fault[] = [];
  for (const digest of new Set(blobsOf(record))) {
    const sum = sums.has(digest) ? sums.get(digest) : await sumOf(engine, call, digest);
    sums.set(digest, sum ?? null);
    if (sum !== digest) faults.push({ what: `the blob ${digest} is ${sum == null ? "missing" : "damaged"}`, blob: digest, storage: null });
  }
  return faults;
}

/** Null: the blob does not exist. */
async function sumOf(engine: ImagesEngine, call: Call, digest: Digest): Promise<string | null> {
  if ((await engine.content.stat(call, digest)) === null) return null;
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(await engine.content.path(call, digest), { signal: call.signal }))
    hash.update(chunk as Buffer);
  return `sha256:${hash.digest("hex")}`;
}

async function layerFaults(uses: readonly Use[], call: Call, record: ImageRecord): Promise<readonly Fault[]> {
  const faults: Fault[] = [];
  for (const use of uses)
    for (const name of expected(use, record)) {
      if (await isOnDisk(use.storage, call, name)) continue;
      const where = use.preferred ? "" : ` from the storage driver ${use.id}`;
      faults.push({ what: `the layer ${name} is missing${where}`, blob: null, storage: use.id });
    }
  return faults;
}

/** A driver keeps its index of snapshots in memory, but `usage` reads the disk. */
async function isOnDisk(storage: StorageDriver, call: Call, name: SnapshotName): Promise<boolean> {
  return storage.usage(call, name).then(
    () => true,
    () => {
      call.signal.throwIfAborted();
      return false;
    },
  );
}

/** Null: everything is repaired; otherwise the reason why not. */
async function mend(
  engine: ImagesEngine,
  call: Call,
  record: ImageRecord,
  faults: readonly Fault[],
  uses: readonly Use[],
  sums: Map<Digest, string | null>,
  logins: Logins,
): Promise<string | null> {
  try {
    const blobs = faults.flatMap(({ blob }) => (blob === null ? [] : [blob]));
    const preferred = await engine.preferredStorage();
    if (blobs.length > 0) await pullAgain(engine, call, record, blobs, preferred, logins);
    for (const blob of blobs) sums.delete(blob);
    for (const id of new Set([preferred, ...faults.flatMap(({ storage }) => storage ?? [])])) await unpackImage(engine, call, id, record);
    const left = [...(await blobFaults(engine, call, record, sums)), ...(await layerFaults(uses, call, record))];
    return left.length === 0 ? null : "the engine still has it in mind: `tsbox daemon stop`, and check again";
  } catch (error) {
    if (!isTsboxError(error)) throw error;
    return error.message;
  }
}

/**
 * Pulls by digest, so that it gets this image even if its name means another one by now. A blob is removed only when the source has
 * answered.
 */
async function pullAgain(
  engine: ImagesEngine,
  call: Call,
  record: ImageRecord,
  blobs: readonly Digest[],
  storageId: string,
  logins: Logins,
): Promise<void> {
  const name = sourceOf(engine, record);
  if (name === null) throw noSource();
  const ref = full({ ...parseReference(name), tag: null, digest: record.manifest.digest });
  const { host } = parseReference(name);
  const access: Access = { credentials: (Object.hasOwn(logins, host) ? logins[host] : null) ?? null, endpoints: [] };
  const source = { driver: await (await placeOf(engine, name)).driver(), ref, access, shown: name };
  const top: Descriptor = await source.driver.resolve(call, ref, access);
  for (const blob of blobs) await engine.content.remove(call, blob);
  await bring(
    engine,
    call,
    source,
    top,
    undefined,
    storageId,
    () => {},
    async () => {},
  );
}

/** A name that the image was pulled by; null: there is none. */
const sourceOf = (engine: ImagesEngine, record: ImageRecord): string | null =>
  engine.records.namesOf(record.id).find((one) => isDockers(one) && engine.records.tag(one)?.digest != null) ?? null;

const noSource = (): Error => fail("FailedPrecondition", "it was made here, so there is nowhere to pull it from: make or load it again");

const nameOf = (engine: ImagesEngine, record: ImageRecord): string => {
  const [name] = engine.records.namesOf(record.id);
  if (name === undefined) return record.id.slice("sha256:".length, "sha256:".length + 12);
  return isDockers(name)
    ? `${familiarName(parseReference(name))}${parseReference(name).tag === null ? "" : `:${parseReference(name).tag}`}`
    : name;
};

function outcome(engine: ImagesEngine, record: ImageRecord, repair: boolean, failure: string | null): Pick<Finding, "mended" | "cure"> {
  if (repair && failure === null) return { mended: true, cure: "mended" };
  return {
    mended: false,
    cure: failure ?? `run \`tsbox system check --repair\`, or \`tsbox pull ${nameOf(engine, record)}\` after removing it`,
  };
}
