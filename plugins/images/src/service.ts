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
  type PullProgress,
  reports,
  type Sparse,
  supports,
} from "@tsbox/kernel";
import { carry, held, release } from "./carry.ts";
import { check } from "./check.ts";
import { create } from "./create.ts";
import type { ImagesEngine } from "./engine.ts";
import { history, layersOf, rawConfig } from "./history.ts";
import { imageEvent } from "./image-events.ts";
import { leftovers } from "./leftovers.ts";
import { isIndex, parseIndex } from "./manifest.ts";
import { placeOf, schemeOf } from "./place.ts";
import { fits, parsePlatform, platformText } from "./platform.ts";
import { bring, type Report, type Source } from "./pull.ts";
import type { ImageRecord } from "./records.ts";
import { familiar, familiarName, full, parseNewName, type Reference } from "./reference.ts";
import { discard, prune, remove, sweep } from "./remove.ts";
import { save } from "./save.ts";
import { unpackImage } from "./unpack.ts";

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
    const place = await placeOf(engine, reference);
    const { ref, name, shown, named } = place;
    await engine.hooks.beforePull(call, shown);
    // A user's logins are for the registries in Docker's names.
    const access = named === null ? noAccess : { ...noAccess, ...options.access };
    const source: Source = { driver: await place.driver(), ref, access, shown };
    if (named !== null) report({ id: null, status: `Pulling from ${named.repository}`, current: null, total: null });
    const top = (await engine.hooks.resolveImage(call, shown)) ?? (await source.driver.resolve(call, ref, source.access));
    const asked = named?.digest ?? null;
    if (asked !== null && asked !== top.digest)
      throw fail("DataLoss", `the registry answered ${top.digest} for ${shown}: the image is not the one that was asked for`);
    const former = records.tag(name);
    const before = former?.digest;
    const keep = (made: ImageRecord): Promise<void> => records.keep(call, made, [name], top.digest);
    const record = await bring(engine, call, source, top, options.platform, await engine.preferredStorage(), report, keep);
    // The former image of a path is removed; the former image of a tag stays, as in Docker.
    if (named === null && former && former.image !== record.id && records.namesOf(former.image).length === 0) {
      const old = records.byId(former.image);
      await records.drop(call, [], old.id);
      await discard(engine, call, old);
    }
    await imageEvent(events, call, "pull", record, {
      id: shown,
      name: named === null ? shown : familiarName(named),
    });
    if (named !== null) {
      report({ id: null, status: `Digest: ${top.digest}`, current: null, total: null });
      const status = before === top.digest ? `Image is up to date for ${shown}` : `Downloaded newer image for ${shown}`;
      report({ id: null, status: `Status: ${status}`, current: null, total: null });
    }
    return record;
  };

  /** A reference as the records know it. `NotFound`: it has a form of its driver's own, and is not here. */
  const known = async (reference: string): Promise<string> => {
    if (records.tag(reference) !== null || schemeOf(engine, reference) === null) return reference;
    const { named } = await placeOf(engine, reference);
    if (named === null) throw fail("NotFound", `No such image: ${reference}`);
    return bare(reference);
  };

  return {
    pull: async (call, reference, options) => {
      await placeOf(engine, reference);
      return reports<PullProgress>((report) => fetch(call, reference, options, report));
    },
    get: async (_call, reference, options) => {
      const { record } = records.find(await known(reference));
      return show(onPlatform(record, reference, options?.platform));
    },
    ensure: async (call, reference, options) => {
      const { name, named, driver } = await placeOf(engine, reference);
      const present = (): Image =>
        show(onPlatform(records.find(named === null ? name : bare(reference)).record, reference, options?.platform));
      if (named !== null) return present();
      const from = await driver();
      const isHere = records.tag(name) !== null;
      if (!supports(from, "local")) {
        if (isHere) return present();
        throw fail("NotFound", `No such image: ${reference}`);
      }
      // A directory shows its changes without being read again, so each daemon reads it once. An archive may have been replaced since.
      if (isHere && supports(from, "directories") && seen.has(name)) return present();
      const record = await fetch(call, reference, options?.platform === undefined ? {} : { platform: options.platform }, () => {});
      seen.add(name);
      return show(record);
    },
    list: async () => records.all().map(show),
    tag: async (call, reference, target) => {
      const parsed = parseNewName(target, null, "refusing to create a tag with a digest reference");
      const { record } = records.find(await known(reference));
      await records.keep(
        call,
        record,
        [full(parsed)],
        records.tag(full(parsed))?.image === record.id ? (records.tag(full(parsed))?.digest ?? null) : null,
      );
      await imageEvent(events, call, "tag", record, { name: familiar(parsed) });
    },
    remove: async (call, reference, options) => remove(engine, call, await known(reference), options),
    prune: (call, options) => prune(engine, call, options),
    check: (call, options) => check(engine, call, options?.repair === true, options?.credentials ?? {}),
    leftovers: (call, options) => leftovers(engine, call, options?.drop === true),
    sweep: async (call) => void (await sweep(engine, call, false)),
    load: async (call, path, options) => reports<PullProgress>((report) => load(engine, call, path, options?.platform, report)),
    save: async (call, references, options) => save(engine, call, await Promise.all(references.map(known)), options),
    create: async (call, image) => show(await create(engine, call, image)),
    rawConfig: (call, id) => rawConfig(engine.content, call, records.byId(id)),
    history: (call, id) => history(engine, call, records.byId(id)),
    layers: (call, id) => layersOf(engine, call, records.byId(id)),
    held: (call, storage) => held(engine, call, storage),
    carry: async (call, name, options) => reports<PullProgress>((report) => carry(engine, call, name, options, report)),
    release: (call, options) => release(engine, call, options),
    unpack: (call, id, storage) => unpackImage(engine, call, storage, records.byId(id)),
  };
}

/** Names of other transports that this daemon has read. */
const seen = new Set<string>();

/** Without the scheme before a name of Docker's. */
const bare = (reference: string): string => reference.replace(/^[a-z][a-z0-9-]*:\/\//, "");

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

/** Opens the file with the first driver that knows its format. */
async function archive(engine: ImagesEngine, call: Call, path: string): Promise<Source> {
  let first: unknown = fail("Unsupported", "no registry driver here reads archives: add the plugin of one");
  let tried = 0;
  for (const driver of await engine.openRegistries()) {
    if (!supports(driver, "archives")) continue;
    try {
      await driver.resolve(call, path, noAccess);
      return { driver, ref: path, access: noAccess, shown: path };
    } catch (error) {
      if (!isTsboxError(error) || error.code !== "InvalidArgument") throw error;
      if (tried === 0) first = error;
      tried += 1;
    }
  }
  throw first;
}

async function bytesOf(source: Source, call: Call, blob: Descriptor): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of await source.driver.fetch(call, source.ref, blob, 0, source.access)) parts.push(part);
  return Buffer.concat(parts);
}
