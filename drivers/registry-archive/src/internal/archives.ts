/**
 * Open archives. Each is indexed once and stays open for a moment after its last use, so that the blobs of one image share the work. A
 * compressed archive is unpacked to a nameless file, since compressed data can't be read from the middle.
 */
import { constants, mkdirSync } from "node:fs";
import { type FileHandle, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { type Call, fail, systemCode } from "@tsbox/kernel";
import { indexTar, type Member } from "./tar.ts";

/** Milliseconds that an unused archive stays open. */
const linger = 5_000;
const chunkSize = 1 << 20;

export interface OpenArchive {
  readonly path: string;
  /** Plain files by name, without a leading `./`; links within the archive are resolved. */
  readonly members: ReadonlyMap<string, Member>;
  /** Reads exactly `size` bytes; otherwise `DataLoss`. */
  read(offset: number, size: number): Promise<Buffer>;
  release(): void;
}

export class Archives {
  readonly #scratch: string;
  /** By path, inode, size and change time: a new file under an old name is another archive. */
  readonly #open: Map<string, Promise<Shared>> = new Map();
  #count = 0;

  /** `scratch`: a directory for archives that must be decompressed. */
  constructor(scratch: string) {
    this.#scratch = scratch;
  }

  async open(call: Call, path: string): Promise<OpenArchive> {
    if (!path.startsWith("/")) throw fail("InvalidArgument", `${path}: give the archive by its absolute path`);
    const file = await openPlain(path);
    const { dev, ino, size, mtimeMs } = await file.stat();
    const key = `${path} ${dev} ${ino} ${size} ${mtimeMs}`;
    const known = await this.#open.get(key)?.catch(() => null);
    if (known?.take()) {
      await file.close();
      return known;
    }
    const fresh = this.#start(call, path, file);
    this.#open.set(key, fresh);
    const forget = (): void => {
      if (this.#open.get(key) === fresh) this.#open.delete(key);
    };
    try {
      const archive = await fresh;
      archive.onClose = forget;
      return archive;
    } catch (error) {
      forget();
      throw error;
    }
  }

  async close(): Promise<void> {
    const all = await Promise.allSettled(this.#open.values());
    await Promise.all(all.map((one) => (one.status === "fulfilled" ? one.value.end() : null)));
  }

  async #start(call: Call, path: string, file: FileHandle): Promise<Shared> {
    let plain = file;
    try {
      plain = await this.#decompressed(call, path, file);
      if (plain !== file) await file.close();
      return new Shared(path, plain, await indexTar(call, path, plain));
    } catch (error) {
      await plain.close().catch(() => {});
      if (plain !== file) await file.close().catch(() => {});
      throw error;
    }
  }

  async #decompressed(call: Call, path: string, file: FileHandle): Promise<FileHandle> {
    const { buffer } = await file.read(Buffer.alloc(6), 0, 6, 0);
    const magic = buffer.toString("hex");
    const unpacker = magic.startsWith("1f8b") ? createGunzip() : magic.startsWith("28b52ffd") ? createZstdDecompress() : null;
    if (magic === "fd377a585a00" || magic.startsWith("425a68"))
      throw fail(
        "InvalidArgument",
        `${path} is compressed with ${magic.startsWith("fd") ? "xz" : "bzip2"}: decompress it first, or use gzip or zstd`,
      );
    if (unpacker === null) return file;
    mkdirSync(this.#scratch, { recursive: true, mode: 0o700 });
    this.#count += 1;
    const scratch = join(this.#scratch, `plain-${process.pid}-${this.#count}.tar`);
    const output = await open(scratch, "wx+", 0o600);
    try {
      await rm(scratch);
      const write = async (plain: AsyncIterable<Uint8Array>): Promise<void> => {
        for await (const part of plain) await output.writeFile(part);
      };
      await pipeline(bytesOf(file), unpacker, write, { signal: call.signal });
      return output;
    } catch (error) {
      await output.close();
      call.signal.throwIfAborted();
      const code = systemCode(error) ?? "";
      if (code === "ENOSPC" || code === "EDQUOT")
        throw fail("ResourceExhausted", `no space left to decompress ${path} in ${this.#scratch}: make room there`, { cause: error });
      throw fail("DataLoss", `${path} can't be decompressed (${code}): the file is damaged, copy it again`, { cause: error });
    }
  }
}

async function* bytesOf(file: FileHandle): AsyncGenerator<Uint8Array> {
  for (let at = 0; ; ) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(chunkSize), 0, chunkSize, at);
    if (bytesRead === 0) return;
    at += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

async function openPlain(path: string): Promise<FileHandle> {
  let file: FileHandle;
  try {
    // Does not wait for the other end of a pipe.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const code = systemCode(error) ?? "";
    if (code === "ENOENT" || code === "ENOTDIR") throw fail("NotFound", `${path}: no such file on this machine`);
    throw fail("PermissionDenied", `${path} can't be opened (${code})`, { cause: error });
  }
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw fail("InvalidArgument", `${path} is no plain file, so it is no image archive`);
}

class Shared implements OpenArchive {
  readonly path: string;
  readonly members: ReadonlyMap<string, Member>;
  readonly #file: FileHandle;
  #users = 1;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;
  onClose: () => void = () => {};

  constructor(path: string, file: FileHandle, members: ReadonlyMap<string, Member>) {
    this.path = path;
    this.#file = file;
    this.members = members;
  }

  /** False: the archive is closed already. */
  take(): boolean {
    if (this.#closed) return false;
    this.#users += 1;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    return true;
  }

  release(): void {
    this.#users -= 1;
    if (this.#users === 0) this.#timer = setTimeout(() => this.end().catch(() => {}), linger).unref();
  }

  async end(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#timer) clearTimeout(this.#timer);
    this.onClose();
    await this.#file.close();
  }

  async read(offset: number, size: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(size);
    for (let done = 0; done < size; ) {
      const { bytesRead } = await this.#file.read(buffer, done, size - done, offset + done);
      if (bytesRead === 0) throw fail("DataLoss", `${this.path} ends too early: the file was cut off, copy it again`);
      done += bytesRead;
    }
    return buffer;
  }
}
