/** The plugin's config, checked. index.ts documents its keys. */
import { fail, settingsOf } from "@tsbox/kernel";

export interface Settings {
  readonly pool: string | null;
  readonly data: string | null;
  readonly metadata: string | null;
  readonly dataSize: number;
  readonly metadataSize: number;
  readonly baseSize: number;
  readonly fileSystem: FileSystem;
}
export type FileSystem = "xfs" | "ext4";

const keys = ["pool", "data", "metadata", "dataSize", "metadataSize", "baseSize", "fileSystem"] as const;
const units: Readonly<Record<string, number>> = { m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };
/** The smallest xfs that mkfs.xfs makes has 300 MiB. */
const leastBase = 512 * 2 ** 20;
const leastMetadata = 2 * 2 ** 20;
/** The kernel uses no more of it (THIN_METADATA_MAX_SECTORS). */
const mostMetadata = 16 * 2 ** 30;

export function parseSettings(raw: unknown): Settings {
  const given = settingsOf(raw, keys);
  const { fileSystem = "xfs" } = given;
  const [pool, data, metadata] = [path(given, "pool"), path(given, "data"), path(given, "metadata")];
  if (pool !== null && (data !== null || metadata !== null)) throw refused("a pool has its devices already: leave data and metadata out");
  if ((data === null) !== (metadata === null)) throw refused("data and metadata are two block devices: name both, or none");
  if (fileSystem !== "xfs" && fileSystem !== "ext4") throw refused("fileSystem is xfs or ext4");
  return {
    pool,
    data,
    metadata,
    fileSystem,
    dataSize: size(given, "dataSize", "100g", leastBase),
    metadataSize: size(given, "metadataSize", "2g", leastMetadata, mostMetadata),
    baseSize: size(given, "baseSize", "10g", leastBase),
  };
}

function path(given: Readonly<Record<string, unknown>>, key: string): string | null {
  const value = given[key] ?? null;
  if (value === null || (typeof value === "string" && value.startsWith("/dev/"))) return value;
  throw refused(`${key} is the path of a block device below /dev`);
}

function size(given: Readonly<Record<string, unknown>>, key: string, standard: string, least: number, most = 2 ** 50): number {
  const [, digits = "", unit = ""] = /^(\d+(?:\.\d+)?)([mgt])$/i.exec(String(given[key] ?? standard)) ?? [];
  const bytes = Math.floor(Number(digits) * (units[unit.toLowerCase()] ?? 0));
  if (!(bytes >= least && bytes <= most))
    throw refused(`${key} is a size such as ${JSON.stringify(standard)}, of ${least / 2 ** 20} MiB to ${most / 2 ** 30} GiB`);
  // Whole blocks of the pool.
  return bytes - (bytes % 2 ** 20);
}

function refused(why: string): Error {
  return fail("InvalidArgument", `storage-devicemapper: ${why}`);
}
