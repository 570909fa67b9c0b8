/**
 * `oci:DIRECTORY[:TAG]`: an image layout (github.com/opencontainers/image-spec, image-layout.md), for reading. The directory is untrusted:
 * links that lead out of it are not followed, and opening a file that is not a plain file never blocks.
 */
import { constants } from "node:fs";
import { type FileHandle, open, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Call, type Descriptor, fail, limits, parseDigest, type RegistryDriver } from "@tsbox/kernel";

const chunkSize = 1 << 20;
const refName = "org.opencontainers.image.ref.name";

export function layoutDriver(): RegistryDriver {
  return {
    powers: ["local"],
    resolve: async (call, ref) => {
      call.signal.throwIfAborted();
      const { directory, tag } = await place(ref);
      return choose(await readIndex(directory), ref, tag);
    },
    fetch: async (call, ref, blob, from) => {
      call.signal.throwIfAborted();
      const { directory } = await place(ref);
      const path = join(directory, "blobs", parseDigest(blob.digest).replace(":", "/"));
      const file = await openInside(directory, path);
      if (file === null) throw fail("NotFound", `oci:${ref} has no blob ${blob.digest}: the layout is incomplete, make it again`);
      return read(call, file, from);
    },
  };
}

/** A colon may be part of a directory's name: if the whole text is a directory, there is no tag. */
async function place(ref: string): Promise<{ readonly directory: string; readonly tag: string | null }> {
  if (!ref.startsWith("/")) throw fail("InvalidArgument", `oci:${ref}: give the layout's directory by its absolute path`);
  const colon = ref.indexOf(":", ref.lastIndexOf("/"));
  const candidates = [[ref, null] as const, ...(colon < 0 ? [] : [[ref.slice(0, colon), ref.slice(colon + 1)] as const])];
  for (const [path, tag] of candidates) {
    const found = await stat(path).catch(() => null);
    if (found?.isDirectory()) return { directory: await realpath(path), tag };
  }
  throw fail("NotFound", `oci:${ref}: no such directory on this machine`);
}

async function readIndex(directory: string): Promise<readonly Descriptor[]> {
  const file = await openInside(directory, join(directory, "index.json"));
  if (file === null) throw fail("InvalidArgument", `${directory} is no OCI image layout: it has no index.json`);
  try {
    const { size } = await file.stat();
    if (size > limits.largestManifest)
      throw fail("InvalidArgument", `${directory} is no OCI image layout: its index.json is ${size} bytes long`);
    const { manifests } = parse(directory, await file.readFile("utf8"));
    if (!Array.isArray(manifests)) throw fail("InvalidArgument", `${directory} is no OCI image layout: its index.json lists no manifests`);
    return manifests.map((entry) => descriptor(directory, entry));
  } finally {
    await file.close();
  }
}

function parse(directory: string, text: string): Readonly<Record<string, unknown>> {
  try {
    return (JSON.parse(text) ?? {}) as Readonly<Record<string, unknown>>;
  } catch {
    throw fail("InvalidArgument", `${directory} is no OCI image layout: its index.json is not JSON`);
  }
}

function descriptor(directory: string, entry: unknown): Descriptor {
  const { mediaType, digest, size, annotations } = (entry ?? {}) as Readonly<Record<string, unknown>>;
  if (typeof mediaType !== "string" || typeof digest !== "string" || typeof size !== "number")
    throw fail("DataLoss", `the index.json of ${directory} has an entry without mediaType, digest or size: make the layout again`);
  const name = typeof annotations === "object" && annotations !== null ? (annotations as Readonly<Record<string, unknown>>)[refName] : "";
  return {
    mediaType,
    digest: parseDigest(digest),
    size,
    ...(typeof name === "string" && name !== "" ? { annotations: { [refName]: name } } : {}),
  };
}

/** Without a tag, the only image. A tag also matches a name that ends with it. */
function choose(manifests: readonly Descriptor[], ref: string, tag: string | null): Descriptor {
  const name = (manifest: Descriptor): string => manifest.annotations?.[refName] ?? "";
  const exact = manifests.filter((manifest) => name(manifest) === tag);
  const ending = manifests.filter((manifest) => name(manifest).endsWith(`:${tag}`));
  const found = tag === null ? manifests : [...exact, ...ending];
  const [first, ...more] = found;
  const names = manifests.map(name).filter(Boolean).join(", ") || "none with a name";
  if (first === undefined) throw fail("NotFound", `oci:${ref}: no such image in this layout; there are: ${names}`);
  if (tag === null && more.length > 0)
    throw fail("InvalidArgument", `oci:${ref} holds ${found.length} images: say which, as oci:${ref}:TAG, of ${names}`);
  return first;
}

/** Null: there is no such file. */
async function openInside(directory: string, path: string): Promise<FileHandle | null> {
  const real = await realpath(path).catch(() => null);
  if (real === null) return null;
  if (!real.startsWith(`${directory}/`)) throw fail("PermissionDenied", `${path} is a link out of the layout: such a layout is not read`);
  // Does not wait for the other end of a pipe.
  const file = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw fail("InvalidArgument", `${path} is no plain file: such a layout is not read`);
}

async function* read(call: Call, file: FileHandle, from: number): AsyncGenerator<Uint8Array> {
  try {
    for (let at = from; ; ) {
      call.signal.throwIfAborted();
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(chunkSize), 0, chunkSize, at);
      if (bytesRead === 0) return;
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}
