import type { Call } from "./contract/call.ts";
import type { SnapshotKey, StorageDriver } from "./contract/storage.ts";
import { isTsboxError } from "./errors/index.ts";

/** Whether a storage driver has a snapshot. Throws the errors of its `stat`, except `NotFound`. */
export async function snapshotExists(storage: Pick<StorageDriver, "stat">, call: Call, key: SnapshotKey): Promise<boolean> {
  try {
    await storage.stat(call, key);
    return true;
  } catch (error) {
    if (isTsboxError(error) && error.code === "NotFound") return false;
    throw error;
  }
}
