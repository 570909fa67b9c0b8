/** What a pool stands on: two files on loop devices, two block devices, or a pool of somebody else's making. */
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  statfsSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { type Call, cleanupCall, fail, type HostToolkit, type LoopDevice, type MapperRow, withCleanup } from "@tsbox/kernel";
import type { Settings } from "../settings.ts";

/** Sectors of a block: what a device shares with its snapshots, or has to itself. */
export const blockSectors = 128;
export const sectorBytes = 512;
/** A full pool answers with errors, and nobody waits. New blocks are not zeroed: file systems show nothing of their old contents. */
const features = ["skip_block_zeroing", "error_if_no_space"];

export interface Backing {
  readonly kind: "loop" | "devices" | "pool";
  readonly data: string;
  readonly metadata: string;
}

export function backingOf({ pool, data, metadata }: Settings, directory: string): Backing {
  if (pool !== null) return { kind: "pool", data: pool, metadata: pool };
  if (data !== null && metadata !== null) return { kind: "devices", data, metadata };
  return { kind: "loop", data: join(directory, "pool/data"), metadata: join(directory, "pool/metadata") };
}

/** The name of the pool's mapped device: of one that exists, or the one that is made. */
export function poolName({ kind, data }: Backing, own: string): string {
  if (kind !== "pool") return own;
  const name = existsSync(data) ? readText(`/sys/dev/block/${numberOf(data)}/dm/name`) : null;
  if (name === null)
    throw fail(
      "FailedPrecondition",
      `storage-devicemapper: ${data} is no mapped device: activate the pool (lvchange -ay), or name another`,
    );
  return name;
}

/** Maps the pool. `isNew`: nothing of it may exist yet. */
export async function mapPool(
  call: Call,
  host: HostToolkit,
  name: string,
  backing: Backing,
  settings: Settings,
  isNew: boolean,
): Promise<void> {
  await withCleanup(async (cleanup) => {
    let { data, metadata } = backing;
    if (backing.kind === "loop") {
      prepareFile(data, settings.dataSize);
      prepareFile(metadata, settings.metadataSize);
      const attach = async (file: string): Promise<string> => {
        const loop: LoopDevice = await host.attachLoop(call, file);
        cleanup.always(() => host.releaseLoop(cleanupCall(call), loop));
        return loop.path;
      };
      data = await attach(data);
      metadata = await attach(metadata);
    } else if (isNew) for (const path of [data, metadata]) refuseUsed(path);
    await host.mapDevice(call, name, rowOf(data, metadata));
  });
}

/** Bytes that the file system of a loop file must have left for a new device: what the pool can't write there damages it. */
const leastFree = 32 * 2 ** 20;

/** `ResourceExhausted`: the disk below a pool of files is nearly full. */
export function checkDisk({ kind, data }: Backing): void {
  if (kind !== "loop") return;
  const { bavail, bsize } = statfsSync(dirname(data));
  if (bavail * bsize >= leastFree) return;
  throw fail(
    "ResourceExhausted",
    `the disk of the pool's files has less than ${leastFree / 2 ** 20} MiB left: free some there (${dirname(data)})`,
    {
      reason: "storage-devicemapper/no-disk-space",
    },
  );
}

function rowOf(data: string, metadata: string): MapperRow {
  const sectors = sectorsOf(data);
  const lowWater = Math.floor(sectors / blockSectors / 20);
  const words = [numberOf(metadata), numberOf(data), blockSectors, lowWater, features.length, ...features];
  return { sectors, target: "thin-pool", parameters: words.join(" ") };
}

/** A sparse file, which takes the space of what is written to it. One that is smaller than configured grows. */
function prepareFile(path: string, bytes: number): void {
  mkdirSync(join(path, ".."), { recursive: true, mode: 0o700 });
  if (!existsSync(path)) writeFileSync(path, "", { mode: 0o600 });
  if (statSync(path).size < bytes) truncateSync(path, bytes);
}

/** Whoever names the wrong device should not lose what is on it. */
function refuseUsed(path: string): void {
  const begin = Buffer.alloc(64 << 10);
  const file = openSync(path, "r");
  try {
    readSync(file, begin, 0, begin.length, 0);
  } finally {
    closeSync(file);
  }
  if (begin.some((byte) => byte !== 0))
    throw fail(
      "FailedPrecondition",
      `storage-devicemapper: ${path} is not empty: if nothing on it is needed, run: dd if=/dev/zero of=${path} bs=64k count=1`,
    );
}

/** `253:0` */
export function numberOf(path: string): string {
  const { rdev } = statSync(path);
  return `${(rdev >> 8) & 0xfff}:${(rdev & 0xff) | ((rdev >> 12) & 0xfff00)}`;
}

function sectorsOf(path: string): number {
  const sectors = Number(readText(`/sys/dev/block/${numberOf(path)}/size`));
  if (!(sectors > 0)) throw fail("FailedPrecondition", `storage-devicemapper: ${path} is no block device with a size`);
  return sectors;
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return null;
  }
}
