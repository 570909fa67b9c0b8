/**
 * The base device: number 0, an empty file system, formatted once. Every snapshot without a parent is a snapshot of it. The file
 * `base.json` says that it is whole.
 */
import { readFileSync, rmdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Call, deriveCall, type HostToolkit, isTsboxError, withMounts } from "@tsbox/kernel";
import type { Settings } from "../settings.ts";
import { sectorBytes } from "./backing.ts";
import { type Format, makeFileSystem, writableMount } from "./file-systems.ts";
import type { Pool } from "./pool.ts";
import { type DeviceRecord, flush, replaceFile } from "./records.ts";

export interface Base extends DeviceRecord, Format {}

/** Milliseconds: what is begun by one call serves all, so it does not end with that call. */
const makeTimeout = 180_000;
const firstLimit = 2 ** 40;

export interface BaseNeeds {
  readonly host: HostToolkit;
  readonly pool: Pool;
  readonly directory: string;
  readonly settings: Settings;
  readonly makeCall: () => Call;
}

/** Null: it is not made yet. */
export function readBase(directory: string): Base | null {
  try {
    return JSON.parse(readFileSync(join(directory, "base.json"), "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

/** Within the pool's turn. */
export async function makeBase(needs: BaseNeeds): Promise<Base> {
  const { host, pool, directory, settings, makeCall } = needs;
  const call = deriveCall(makeCall(), { timeout: makeTimeout });
  const { fileSystem, baseSize } = settings;
  const device: DeviceRecord = { number: 0, sectors: baseSize / sectorBytes };
  // What a dead engine has left of it.
  await pool.remove(call, device);
  await pool.make(call, device.number, null);
  const path = await pool.map(call, device);
  await makeFileSystem(call, host, fileSystem, path);
  const quotas = await prepareRoot(call, host, path, fileSystem === "xfs", { fileSystem, quotas: false });
  await flush(path);
  await pool.unmap(call, device.number);
  const base: Base = { ...device, fileSystem, quotas };
  await replaceFile(join(directory, "base.json"), JSON.stringify(base));
  return base;
}

/** Makes the root directory what an empty tree is. Answers whether its files can be limited. */
async function prepareRoot(call: Call, host: HostToolkit, path: string, tryQuotas: boolean, format: Format): Promise<boolean> {
  if (tryQuotas) {
    try {
      await withMounts(call, host, [writableMount(path, { ...format, quotas: true })], async (root) => {
        // Every file that is ever made below gets the project of the root.
        await host.limitTree(call, [root], firstLimit);
        await host.unlimitTree(call, root);
      });
      return true;
    } catch (error) {
      // A kernel whose xfs has no quotas: sizes are refused.
      if (!isTsboxError(error) || (error.code !== "InvalidArgument" && error.code !== "Unsupported")) throw error;
    }
  }
  await withMounts(call, host, [writableMount(path, format)], async (root) => {
    const lost = join(root, "lost+found");
    if (statSync(lost, { throwIfNoEntry: false })?.isDirectory()) rmdirSync(lost);
  });
  return false;
}
