/** The rows of `info`, as Docker's devicemapper has them, and what is wrong with the pool. */
import type { StorageReport } from "@tsbox/kernel";
import { type Backing, blockSectors, sectorBytes } from "./backing.ts";
import type { Base } from "./base.ts";
import type { PoolStatus, Space } from "./pool-status.ts";

export function reportOf(given: {
  readonly backing: Backing;
  readonly name: string;
  readonly status: PoolStatus | null;
  readonly base: Base | null;
}): StorageReport {
  const { backing, name, status, base } = given;
  const size = base === null ? [] : [["Base Device Size", shown(base.sectors * sectorBytes)] as const];
  const kind = base === null ? [] : [["Backing Filesystem", base.fileSystem] as const];
  const files = backing.kind === "loop" ? "loop file" : "device";
  const rows: readonly (readonly [string, string])[] = [
    ["Pool Name", name],
    ["Pool Blocksize", shown(blockSectors * sectorBytes)],
    ...size,
    ...kind,
    ...(backing.kind === "pool" ? [] : [[`Data ${files}`, backing.data] as const, [`Metadata ${files}`, backing.metadata] as const]),
    ...(status === null ? [] : [...spaceRows("Data", status.data), ...spaceRows("Metadata", status.metadata)]),
    ["Deferred Removal Enabled", "true"],
  ];
  return { rows, warnings: [...loopWarning(backing), ...stateWarning(status)] };
}

function loopWarning({ kind }: Backing): readonly string[] {
  if (kind !== "loop") return [];
  return [
    "devicemapper: usage of loopback devices is strongly discouraged for production use: name a block device or a thin pool in the config of @tsbox/storage-devicemapper",
  ];
}

function stateWarning(status: PoolStatus | null): readonly string[] {
  if (status === null || status.state === "rw") return [];
  return [`devicemapper: the thin pool is in the state ${status.state}: remove images or containers, or enlarge it`];
}

function spaceRows(name: string, { used, total }: Space): readonly (readonly [string, string])[] {
  return [
    [`${name} Space Used`, shown(used)],
    [`${name} Space Total`, shown(total)],
    [`${name} Space Available`, shown(total - used)],
  ];
}

/** Decimal units, as Docker's. */
function shown(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const step = bytes === 0 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  return `${Number((bytes / 1_000 ** step).toPrecision(4))} ${units[step]}`;
}
