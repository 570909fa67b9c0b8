/** The changes in a container, from the storage driver if it can list them, else by comparing the container's tree with its image's. */
import {
  type Call,
  type Change,
  type Container,
  cleanupCall,
  parseViewKey,
  type SnapshotName,
  type StorageDriver,
  supports,
  withCleanup,
  withMounts,
} from "@tsbox/kernel";
import { baseOf, type FilesEngine, own } from "./engine.ts";

let count = 0;

export async function changes(engine: FilesEngine, call: Call, record: Container): Promise<AsyncIterable<Change>> {
  const storage = await engine.storage(record.drivers.storage);
  const base = await baseOf(engine, call, record);
  if (supports(storage, "changes")) return storage.changes(call, base, record.layer, { own });
  const upper = await storage.mounts(call, record.layer, { readOnly: true });
  return withMounts(call, engine.host, upper, (root) =>
    base === null
      ? engine.host.changes(call, null, root, { own })
      : withLook(engine, call, storage, base, (below) => engine.host.changes(call, below, root, { own })),
  );
}

/** Calls `use` with the tree of a committed snapshot. */
export async function withLook<T>(
  engine: FilesEngine,
  call: Call,
  storage: StorageDriver,
  name: SnapshotName,
  use: (root: string) => Promise<T>,
): Promise<T> {
  count += 1;
  const key = parseViewKey(`files-${process.pid}-${Date.now()}-${count}`);
  return withCleanup(async (cleanup) => {
    const mounts = await storage.view(call, key, name);
    cleanup.always(() => storage.remove(cleanupCall(call), key));
    return withMounts(call, engine.host, mounts, use);
  });
}
