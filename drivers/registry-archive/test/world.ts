/** Archives made for the tests. */
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { type Case, temporaryDirectory } from "@tsbox/harness";
import {
  type Access,
  type Call,
  createCall,
  type Descriptor,
  type Digest,
  isTsboxError,
  type RegistryDriver,
  silentLog,
} from "@tsbox/kernel";
import { type Header, pack } from "tar-stream";
import { dockerArchive } from "../src/docker.ts";
import { archiveDriver } from "../src/driver.ts";
import { Archives } from "../src/internal/archives.ts";
import { ociArchive } from "../src/oci.ts";

export const call: Call = createCall(silentLog);
export const anonymous: Access = { credentials: null, endpoints: [] };

export interface World {
  readonly docker: RegistryDriver;
  readonly oci: RegistryDriver;
  readonly directory: string;
}

export function world(t: Case): World {
  const directory = temporaryDirectory(t);
  const archives = new Archives(`${directory}/scratch`);
  t.cleanup(() => archives.close());
  return { docker: archiveDriver(archives, dockerArchive), oci: archiveDriver(archives, ociArchive), directory };
}

export type Entry = readonly [name: string, content: Uint8Array | string | null, header?: Partial<Header>];

/** A tar as bytes. If the content is null, the entry has no content. */
export async function tar(entries: readonly Entry[]): Promise<Buffer> {
  const archive = pack();
  for (const [name, content, header] of entries)
    if (content === null) archive.entry({ name, ...header } as Header);
    else archive.entry({ name, ...header } as Header, Buffer.from(content));
  archive.finalize();
  return read(archive as AsyncIterable<unknown> as AsyncIterable<Uint8Array>);
}

export async function read(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

export const digestOf = (bytes: Uint8Array): Digest => `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest;
export const layer: Buffer = Buffer.concat(Array.from({ length: 50_000 }, (_, at) => createHash("sha256").update(String(at)).digest()));
export const config = (...layers: readonly Uint8Array[]): string =>
  JSON.stringify({ architecture: "arm64", os: "linux", variant: "v8", rootfs: { type: "layers", diff_ids: layers.map(digestOf) } });

export function save(directory: string, name: string, bytes: Uint8Array): string {
  const path = `${directory}/${name}`;
  writeFileSync(path, bytes);
  return path;
}

/** The index, its manifests and their layers, all checked against their digests. */
export async function unfold(
  driver: RegistryDriver,
  path: string,
): Promise<readonly { readonly entry: Descriptor; readonly config: string; readonly layers: readonly Buffer[] }[]> {
  const get = async (blob: Descriptor): Promise<Buffer> => {
    const bytes = await read(await driver.fetch(call, path, blob, 0, anonymous));
    if (digestOf(bytes) !== blob.digest || bytes.length !== blob.size) throw new Error(`${blob.digest} is not what it should be`);
    const half = Math.floor(bytes.length / 2);
    const rest = await read(await driver.fetch(call, path, blob, half, anonymous));
    if (!rest.equals(bytes.subarray(half))) throw new Error(`${blob.digest} is not the same from byte ${half}`);
    return bytes;
  };
  const index = JSON.parse((await get(await driver.resolve(call, path, anonymous))).toString()) as {
    readonly manifests: readonly Descriptor[];
  };
  return Promise.all(
    index.manifests.map(async (entry) => {
      const manifest = JSON.parse((await get(entry)).toString()) as { readonly config: Descriptor; readonly layers: readonly Descriptor[] };
      return { entry, config: (await get(manifest.config)).toString(), layers: await Promise.all(manifest.layers.map(get)) };
    }),
  );
}

export const failure =
  (code: string, words: RegExp) =>
  (error: unknown): boolean =>
    isTsboxError(error) && error.code === code && words.test(error.message) && !error.message.includes("\n");
