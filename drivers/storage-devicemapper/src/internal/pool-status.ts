/** What the kernel's thin pool reports about itself (Documentation/admin-guide/device-mapper/thin-provisioning.rst). */
import { fail } from "@tsbox/kernel";
import { blockSectors, sectorBytes } from "./backing.ts";

export interface PoolStatus {
  readonly data: Space;
  readonly metadata: Space;
  /** `rw`, or why it is not: `ro`, `out_of_data_space`, `needs_check`, `Fail`. */
  readonly state: string;
  readonly errorsWhenFull: boolean;
}
export interface Space {
  /** Bytes. */
  readonly used: number;
  readonly total: number;
}

/** Bytes of a block of the metadata. */
const metadataBlock = 4_096;
/** The parts of the pool that new snapshots leave free. Docker's is a tenth. A pool without free metadata can't even remove anything. */
const reserve = 0.1;

/** `TRANSACTION USED/TOTAL USED/TOTAL ROOT MODE DISCARD ERRORS CHECK LOW` */
export function parseStatus(text: string): PoolStatus {
  const words = text.trim().split(/\s+/);
  const [, metadata = "", data = "", , mode = "Fail"] = words;
  return {
    metadata: spaceOf(metadata, metadataBlock),
    data: spaceOf(data, blockSectors * sectorBytes),
    state: words.includes("needs_check") ? "needs_check" : mode,
    errorsWhenFull: words.includes("error_if_no_space"),
  };
}

function spaceOf(text: string, unit: number): Space {
  const [used = 0, total = 0] = text.split("/").map(Number);
  return { used: used * unit, total: total * unit };
}

/** `ResourceExhausted` if a new device would leave too little. */
export function checkRoom(status: PoolStatus): void {
  const { data, metadata, state } = status;
  if (state === "ro" || state === "needs_check" || state === "Fail")
    throw fail(
      "FailedPrecondition",
      `the thin pool is ${state === "ro" ? "read-only" : "damaged"} (${state}): stop the engine, run thin_check and thin_repair on its metadata`,
    );
  for (const [name, { used, total }] of [
    ["data", data],
    ["metadata", metadata],
  ] as const) {
    const free = total - used;
    if (free < total * reserve)
      throw fail(
        "ResourceExhausted",
        `the thin pool has ${percent(free, total)} of its ${name} space left, and new layers need ${reserve * 100} %: remove images or containers, or enlarge it`,
        { reason: `storage-devicemapper/no-${name}-space` },
      );
  }
}

function percent(part: number, whole: number): string {
  return `${whole === 0 ? 0 : Math.floor((part / whole) * 100)} %`;
}
