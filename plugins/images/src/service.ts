/** The service `images`: the verbs of kernel/src/contract/services/images.ts. */
import {
  type Access,
  type Call,
  type Descriptor,
  type Digest,
  type EventsService,
  fail,
  type Image,
  type ImagesService,
  isTsboxError,
  type RegistryDriver,
  type Sparse,
} from "@tsbox/kernel";
import { isIndex, parseIndex } from "./manifest.ts";
import { fits, parsePlatform, platformText } from "./platform.ts";
import { progress } from "./progress.ts";
import { bring, type Report, type Source } from "./pull.ts";
import { type ImageRecord, type ImageRecords, isDockers } from "./records.ts";
import { familiar, full, parseReference } from "./reference.ts";
import { adopt, adoptedName, chainIds, type Unpacker, unpackLayer } from "./unpack.ts";

export interface ImagesEngine extends Unpacker {
  readonly records: ImageRecords;
  readonly events: EventsService;
  registry(scheme: string): Promise<RegistryDriver>;
  preferredStorage(): Promise<string>;
  readonly hooks: {
    beforePull(call: Call, ref: string): Promise<void>;
    resolveImage(call: Call, ref: string): Promise<Descriptor | undefined>;
  };
}

/** A scheme counts only in these; all else is a Docker reference. */
const schemes = /^(docker):\/\/(.*)$|^(host):(\/.*)$|^(oci|oci-archive|docker-archive):(.+)$/s;

interface Place {
  readonly scheme: string;
  /** In the driver's words. */
  readonly ref: string;
  /** The name that the image is kept under. */
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
    const former = records.tag(name);
    const before = former?.digest;
    const record = await bring(engine, call, source, top, options.platform, await engine.preferredStorage(), report);
    await records.keep(call, record, [name], top.digest);
    // What a path held before is nobody's image any more; what a tag stood for stays, as with docker.
    if (scheme !== "docker" && former && former.image !== record.id && records.namesOf(former.image).length === 0) {
      const old = records.byId(former.image);
      await records.drop(call, [], old.id);
      await discard(engine, call, old);
    }
    await events.publish(call, { type: "image", action: "pull", id: shown, attributes: { name: shown } });
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
      // This machine is what it is: looked at once a daemon. An archive may have been replaced since.
      if (scheme === "host" && records.tag(name) && seen.has(name))
        return show(onPlatform(records.find(name).record, reference, options?.platform));
      const record = await fetch(call, reference, options?.platform === undefined ? {} : { platform: options.platform }, () => {});
      seen.add(name);
      return show(record);
    },
    list: async () => records.all().map(show),
    tag: async (call, reference, target) => {
      const parsed = parseReference(target);
      if (parsed.digest !== null) throw fail("InvalidArgument", "refusing to create a tag with a digest reference");
      const { record, name } = records.find(bare(reference));
      const digest = (name === null ? undefined : records.tag(name)?.digest) ?? record.manifest.digest;
      await records.keep(call, record, [full(parsed)], digest);
      await events.publish(call, { type: "image", action: "tag", id: record.id, attributes: { name: familiar(parsed) } });
    },
    remove: (call, reference, options) => remove(engine, call, reference, options),
    load: async (call, path) => progress((report) => load(engine, call, path, report)),
    unpack: async (call, id, storage) => {
      const record = records.byId(id);
      const base = record.adopted === null ? null : await adopt(engine, call, storage, record.adopted);
      const chain = chainIds(record.diffIds, base);
      for (const [at, name] of chain.entries()) {
        const [layer, diffId] = [record.layers[at], record.diffIds[at]];
        if (layer && diffId) await unpackLayer(engine, call, storage, name, chain[at - 1] ?? base, diffId, layer);
      }
      return chain.at(-1) ?? base;
    },
  };
}

/** Names of transports that were looked at by this daemon. */
const seen = new Set<string>();

const bare = (reference: string): string => reference.replace(/^docker:\/\//, "");

function onPlatform(record: ImageRecord, reference: string, platform: string | undefined): ImageRecord {
  if (platform === undefined || fits(parsePlatform(platform), record.platform)) return record;
  throw fail("NotFound", `No such image: ${reference} for ${platform}: the one that is here is for ${platformText(record.platform)}`);
}

async function remove(
  engine: ImagesEngine,
  call: Call,
  reference: string,
  options: Sparse<{ force: boolean; inUse: readonly Digest[] }>,
): Promise<readonly ({ readonly untagged: string } | { readonly deleted: string })[]> {
  const { records, events } = engine;
  const { record, name } = records.find(bare(reference));
  const names = records.namesOf(record.id);
  if (name === null && names.length > 1 && !options.force)
    throw fail(
      "Conflict",
      `conflict: unable to delete ${record.id.slice(7, 19)} (must be forced) - image is referenced in multiple repositories`,
    );
  const dropped = name === null ? names : [name];
  const last = names.length === dropped.length;
  const used = options.inUse?.includes(record.id) ?? false;
  if (last && used && !options.force)
    throw fail(
      "Conflict",
      `conflict: unable to remove repository reference "${reference}" (must force) - a container is using its referenced image ${record.id.slice(7, 19)}`,
    );
  await records.drop(call, dropped, last && !used ? record.id : null);
  const answer: ({ untagged: string } | { deleted: string })[] = dropped.map((one) => ({
    untagged: isDockers(one) ? familiar(parseReference(one)) : one,
  }));
  for (const one of dropped) await events.publish(call, { type: "image", action: "untag", id: record.id, attributes: { name: one } });
  if (last && !used) {
    answer.push({ deleted: record.id });
    await discard(engine, call, record);
    await events.publish(call, { type: "image", action: "delete", id: record.id, attributes: {} });
  }
  return answer;
}

/** Blobs and snapshots that no other image needs. A snapshot that a container stands on stays until that is gone. */
async function discard(engine: ImagesEngine, call: Call, record: ImageRecord): Promise<void> {
  const others = engine.records.all();
  const kept = new Set(others.flatMap((other) => [other.rawConfig, other.manifest.digest, ...other.layers.map((layer) => layer.digest)]));
  for (const digest of [record.rawConfig, record.manifest.digest, ...record.layers.map((layer) => layer.digest)])
    if (!kept.has(digest)) await engine.content.remove(call, digest);
  const chainOf = (image: ImageRecord): readonly string[] => {
    const base = image.adopted === null ? null : adoptedName(image.adopted);
    return [...(base === null ? [] : [base]), ...chainIds(image.diffIds, base)];
  };
  const needed = new Set(others.flatMap(chainOf));
  const storage = await engine.storage(await engine.preferredStorage());
  for (const name of [...chainOf(record)].reverse()) {
    if (needed.has(name)) continue;
    try {
      await storage.remove(call, name as ReturnType<typeof adoptedName>);
    } catch (error) {
      if (!isTsboxError(error) || (error.code !== "NotFound" && error.code !== "FailedPrecondition")) throw error;
    }
  }
}

/** Every image of an archive, under the names that it gives them. */
async function load(engine: ImagesEngine, call: Call, path: string, report: Report): Promise<void> {
  const source = await archive(engine, call, path);
  const top = await source.driver.resolve(call, source.ref, source.access);
  const entries = isIndex(top) ? parseIndex(await bytesOf(source, call, top), path) : [top];
  const storage = await engine.preferredStorage();
  for (const entry of entries) {
    const record = await bring(engine, call, source, entry, undefined, storage, () => {});
    const names = (entry.annotations?.["io.containerd.image.name"] ?? entry.annotations?.["org.opencontainers.image.ref.name"] ?? "")
      .split(",")
      .filter((name) => name !== "");
    const references = names.map((name) => parseReference(name));
    await engine.records.keep(call, record, references.map(full), entry.digest);
    await engine.events.publish(call, { type: "image", action: "load", id: record.id, attributes: {} });
    const lines =
      references.length > 0 ? references.map((reference) => `Loaded image: ${familiar(reference)}`) : [`Loaded image ID: ${record.id}`];
    for (const status of lines) report({ id: null, status, current: null, total: null });
  }
}

/** The first of the archive formats that knows this file. */
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
