import { rm, stat } from "node:fs/promises";
import { cleanupCall } from "./call.ts";
import { withCleanup } from "./cleanup.ts";
import type { Call } from "./contract/call.ts";
import type { HostToolkit } from "./contract/host.ts";
import type { ActiveKey, LayerFile, Snapshot, SnapshotName, StorageDriver, ViewKey } from "./contract/storage.ts";
import { withMounts } from "./mounts.ts";
import { supports } from "./supports.ts";

export interface CopyChangesOptions {
  readonly host: HostToolkit;
  readonly from: StorageDriver;
  readonly to: StorageDriver;
  /** A file for the changes on their way, which need as much room as they have on disk. An older one is replaced. */
  readonly scratch: string;
  /** Called now and then with the bytes that were read so far. */
  readonly progress?: (bytes: number) => void;
}

/** Milliseconds between two reports of progress. */
const reportEvery = 500;
let count = 0;

/**
 * Copies the changes of a snapshot against its parent into the active snapshot `key` of another driver, which was prepared on the same
 * parent there. All that a layer can hold is copied: owners, modes, times, extended attributes, links, devices, holes, removals. A socket
 * is not: without its process it is of no use. When this answers, the changes are on disk.
 */
export async function copyChanges(call: Call, source: Snapshot, key: ActiveKey, options: CopyChangesOptions): Promise<void> {
  const { host, from, to, scratch, progress } = options;
  const file: LayerFile = { path: scratch, mediaType: "application/vnd.oci.image.layer.v1.tar" };
  await withCleanup(async (cleanup) => {
    await rm(scratch, { force: true });
    cleanup.always(() => rm(scratch, { force: true }));
    const timer = setInterval(() => {
      stat(scratch).then(
        ({ size }) => progress?.(size),
        // It does not exist yet, or no longer.
        () => {},
      );
    }, reportEvery);
    cleanup.always(() => clearInterval(timer));
    await writeChanges(call, source, file, options);
    clearInterval(timer);
    if (supports(to, "apply")) await to.apply(call, key, file);
    else await withMounts(call, host, await to.mounts(call, key), (root) => host.apply(call, root, file));
    await withTree(call, host, from, source, async (original) =>
      withMounts(call, host, await to.mounts(call, key), async (copy) => {
        // A layer does not mention its root directory.
        await host.copyAttributes(call, original, copy);
        await host.sync(call, copy);
      }),
    );
  });
}

/** The changes as a layer: by the driver, or by a comparison of the two trees. */
async function writeChanges(call: Call, source: Snapshot, into: LayerFile, { host, from }: CopyChangesOptions): Promise<void> {
  const { parent } = source;
  if (supports(from, "diff")) {
    await from.diff(call, parent, source.key, into);
    return;
  }
  await withTree(call, host, from, source, (upper) =>
    parent === null
      ? host.diff(call, null, upper, into)
      : withView(call, host, from, parent, (lower) => host.diff(call, lower, upper, into)),
  );
}

async function withTree<T>(
  call: Call,
  host: HostToolkit,
  storage: StorageDriver,
  { kind, key }: Snapshot,
  use: (root: string) => Promise<T>,
): Promise<T> {
  if (kind === "committed") return withView(call, host, storage, key, use);
  return withMounts(call, host, await storage.mounts(call, key, { readOnly: true }), use);
}

async function withView<T>(
  call: Call,
  host: HostToolkit,
  storage: StorageDriver,
  name: SnapshotName,
  use: (root: string) => Promise<T>,
): Promise<T> {
  count += 1;
  const key = `copy-${process.pid}-${count}` as ViewKey;
  return withCleanup(async (cleanup) => {
    const mounts = await storage.view(call, key, name);
    cleanup.always(() => storage.remove(cleanupCall(call), key));
    return withMounts(call, host, mounts, use);
  });
}
