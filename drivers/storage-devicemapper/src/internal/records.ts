/** Files of the driver's own: the device of a snapshot, and what is written so that a crash leaves the old or the new one. */
import { readFileSync } from "node:fs";
import { open, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Usage } from "@tsbox/kernel";

/** A snapshot's thin device: the file `device` in its directory, written before the device is made. */
export interface DeviceRecord {
  readonly number: number;
  readonly sectors: number;
  /** What its files take, parents included; known since its commit. */
  readonly used?: Usage;
}

/** Null: the snapshot has no device, or its making was interrupted before. */
export function readDevice(directory: string): DeviceRecord | null {
  try {
    return JSON.parse(readFileSync(join(directory, "device"), "utf8"));
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

export async function writeDevice(directory: string, record: DeviceRecord): Promise<void> {
  await replaceFile(join(directory, "device"), JSON.stringify(record));
}

/** Replaces a file, durably. */
export async function replaceFile(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text, { flush: true, mode: 0o600 });
  await rename(`${path}.new`, path);
  await flush(dirname(path));
}

/** fsync(2) of a directory or a block device. */
export async function flush(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
