/** The service `images`: the verbs of kernel/src/contract/services/images.ts. */
import {
  type Access,
  type Call,
  type Descriptor,
  fail,
  type Image,
  type ImagesService,
  isTsboxError,
  limits,
  type Sparse,
} from "@tsbox/kernel";
import { check } from "./check.ts";
import { create } from "./create.ts";
import type { ImagesEngine } from "./engine.ts";
import { history, layersOf, rawConfig } from "./history.ts";
import { imageEvent } from "./image-events.ts";
import { leftovers } from "./leftovers.ts";
import { isIndex, parseIndex } from "./manifest.ts";
import { fits, parsePlatform, platformText } from "./platform.ts";
import { progress } from "./progress.ts";
import { bring, type Report, type Source } from "./pull.ts";
import type { ImageRecord } from "./records.ts";
import { familiar, familiarName, full, parseNewName, parseReference, type Reference } from "./reference.ts";
import { discard, prune, remove, sweep } from "./remove.ts";
import { save } from "./save.ts";
import { unpackImage } from "./unpack.ts";

/** The forms with a scheme; everything else is a Docker reference. */
const schemes = /^(docker):\/\/(.*)$|^(host):(\/.*)$|^(oci|oci-archive|docker-archive):(.+)$/s;

interface Place {
  readonly scheme: string;
  /** The reference in the driver's form. */
  readonly ref: string;
  /** The name in the image's record. */
  readonly name: string;
  readonly shown: string;
}

function place(reference: string): Place {
  const match = schemes.exec(reference);
  const scheme = match?.[1] ?? match?.[3] ?? match?.[5];
  const rest = match?.[2] ?? match?.[4] ?? match?.[6] ?? "";
  if (scheme !== undefined && scheme !== "docker") return { scheme, ref: rest, name: reference, shown: reference };
  const parsed = parseReference(scheme === undefined ? reference : rest);
  return { scheme: "docker", ref: full(parsed), name: full(parsed), shown: familiar(parsed) };
}

const noAccess: Access = { credentials: null, endpoints: [] };

export function imagesService(engine: ImagesEngine): ImagesService {
  const { records, events } = engine;
  const show = (record: ImageRecord): Image => records.show(record);

  const fetch = async (
    call: Call,
    reference: string,
    options: Sparse<{ platform: string; access: Partial<Access> }>,
    report: Report,
  ): Promise<ImageRecord> => {
    const { scheme, ref, name, shown } = place(reference);
    await engine.hooks.beforePull(call, shown);
    const source: Source = { driver: await engine.registry(scheme), ref, access: { ...noAccess, ...options.access }, shown };
    if (scheme === "docker") report({ id: null, status: `Pulling from ${parseReference(ref).repository}`, current: null, total: null });
    const top = (await engine.hooks.resolveImage(call, shown)) ?? (await source.driver.resolve(call, ref, source.access));
    const asked = scheme === "docker" ? parseReference(ref).digest : null;
    if (asked !== null && asked !== top.digest)
      throw fail("DataLoss", `the registry answered ${top.digest} for ${shown}: the image is not the one that was asked for`);
    const former = records.tag(name);
    const before = former?.digest;
    const keep = (made: ImageRecord): Promise<void> => records.keep(call, made, [name], top.digest);
    const record = await bring(engine, call, source, top, options.platform, await engine.preferredStorage(), report, keep);
    // The former image of a path is removed; the former image of a tag stays, as in Docker.
    if (scheme !== "docker" && former && former.image !== record.id && records.namesOf(former.image).length === 0) {
      const old = records.byId(former.image);
      await records.drop(call, [], old.id);
      await discard(engine, call, old);
    }
    await imageEvent(events, call, "pull", record, {
      id: shown,
      name: scheme === "docker" ? familiarName(parseReference(ref)) : shown,
    });
    if (scheme === "docker") {
      report({ id: null, status: `Digest: ${top.digest}`, current: null, total: null });
      const status = before === top.digest ? `Image is up to date for ${shown}` : `Downloaded newer image for ${shown}`;
      report({ id: null, status: `Status: ${status}`, current: null, total: null });
    }
    return record;
  };

  return {
    pull: async (call, reference, options) => {
      place(reference);
      return progress((report) => fetch(call, reference, options, report));
    },
    get: async (_call, reference, options) => {
      const { record } = records.find(bare(reference));
      return show(onPlatform(record, reference, options?.platform));
    },
    ensure: async (call, reference, options) => {
      const { scheme, name } = place(reference);
      if (scheme === "docker") {
        const { record } = records.find(bare(reference));
        return show(onPlatform(record, reference, options?.platform));
      }
      // The host's own image is read once by each daemon. An archive may have been replaced since.
      if (scheme === "host" && records.tag(name) && seen.has(name))
        return show(onPlatform(records.find(name).record, reference, options?.platform));
      const record = await fetch(call, reference, options?.platform === undefined ? {} : { platform: options.platform }, () => {});
      seen.add(name);
      return show(record);
    },
    list: async () => records.all().map(show),
    tag: async (call, reference, target) => {
      const parsed = parseNewName(target, null, "refusing to create a tag with a digest reference");
      const { record } = records.find(bare(reference));
      await records.keep(
        call,
        record,
        [full(parsed)],
        records.tag(full(parsed))?.image === record.id ? (records.tag(full(parsed))?.digest ?? null) : null,
      );
      await imageEvent(events, call, "tag", record, { name: familiar(parsed) });
    },
    remove: (call, reference, options) => remove(engine, call, bare(reference), options),
    prune: (call, options) => prune(engine, call, options),
    check: (call, options) => check(engine, call, options?.repair === true, options?.credentials ?? {}),
    leftovers: (call, options) => leftovers(engine, call, options?.drop === true),
    sweep: async (call) => void (await sweep(engine, call, false)),
    load: async (call, path, options) => progress((report) => load(engine, call, path, options?.platform, report)),
    save: (call, references, options) => save(engine, call, references.map(bare), options),
    create: async (call, image) => show(await create(engine, call, image)),
    rawConfig: (call, id) => rawConfig(engine.content, call, records.byId(id)),
    history: (call, id) => history(engine, call, records.byId(id)),
    layers: (call, id) => layersOf(engine, call, records.byId(id)),
    unpack: (call, id, storage) => unpackImage(engine, call, storage, records.byId(id)),
  };
}

/** Names of other transports that this daemon has read. */
const seen = new Set<string>();

const bare = (reference: string): string => reference.replace(/^docker:\/\//, "");

function onPlatform(record: ImageRecord, reference: string, platform: string | undefined): ImageRecord {
  if (platform === undefined || fits(parsePlatform(platform), record.platform)) return record;
  throw fail("NotFound", `No such image: ${reference} for ${platform}: the one that is here is for ${platformText(record.platform)}`);
}

/** Loads every image of an archive, under the archive's names. */
async function load(engine: ImagesEngine, call: Call, path: string, platform: string | undefined, report: Report): Promise<void> {
  const source = await archive(engine, call, path);
  const top = await source.driver.resolve(call, source.ref, source.access);
  const entries = isIndex(top) ? parseIndex(await bytesOf(source, call, top), path) : [top];
  const storage = await engine.preferredStorage();
  // Checked before the first image is loaded: an archive with a name that is not allowed is refused as a whole.
  const named = entries.map((entry) => ({ entry, references: namesOf(entry) }));
  if (named.reduce((sum, { references }) => sum + references.length, 0) > limits.mostEntries)
    throw fail("DataLoss", `${path} has more than ${limits.mostEntries} names: that is no image archive`);
  for (const { entry, references } of named) {
    const keep = (made: ImageRecord): Promise<void> => engine.records.keep(call, made, references.map(full), null);
    const record = await bring(engine, call, source, entry, platform, storage, () => {}, keep);
    await imageEvent(engine.events, call, "load", record);
    const lines =
      references.length > 0 ? references.map((reference) => `Loaded image: ${familiar(reference)}`) : [`Loaded image ID: ${record.id}`];
    for (const status of lines) report({ id: null, status, current: null, total: null });
  }
}

/** The names of an image in an archive. */
function namesOf({ annotations, digest }: Descriptor): readonly Reference[] {
  const names = annotations?.["io.containerd.image.name"] ?? annotations?.["org.opencontainers.image.ref.name"] ?? "";
  return names
    .split(",", limits.mostEntries + 1)
    .filter((name) => name !== "")
    .map((name) => parseNewName(name, digest, `invalid tag ${JSON.stringify(name)}: the archive's image has the digest ${digest}`));
}

/** Opens the file with the first archive format that recognizes it. */
async function archive(engine: ImagesEngine, call: Call, path: string): Promise<Source> {
  let first: unknown;
  for (const scheme of ["docker-archive", "oci-archive"]) {
    const source: Source = { driver: await engine.registry(scheme), ref: path, access: noAccess, shown: path };
    try {
      await source.driver.resolve(call, path, noAccess);
      return source;
    } catch (error) {
      if (!isTsboxError(error) || error.code !== "InvalidArgument") throw error;
      first ??= error;
    }
  }
  throw first;
}

async function bytesOf(source: Source, call: Call, blob: Descriptor): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of await source.driver.fetch(call, source.ref, blob, 0, source.access)) parts.push(part);
  return Buffer.concat(parts);
}
