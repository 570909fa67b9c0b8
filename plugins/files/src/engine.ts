/** What the verbs of the service share. */
import {
  type Call,
  type Container,
  type ContainerId,
  type ContainersService,
  cleanupCall,
  type EventsService,
  type HostToolkit,
  type ImagesService,
  type SnapshotName,
  type StorageDriver,
  withCleanup,
} from "@tsbox/kernel";

export interface FilesEngine {
  readonly containers: ContainersService;
  readonly images: ImagesService;
  readonly events: EventsService;
  readonly host: HostToolkit;
  /** For layers that are not yet part of an image. */
  readonly workDirectory: string;
  storage(id: string): Promise<StorageDriver>;
}

/**
 * Paths where the engine mounts something in every container. If the image lacks such a path, the engine creates it, and this does not
 * count as a change of the container. Docker keeps these in a layer below the container's own (its "init" layer).
 */
export const own: readonly string[] = [
  "/.dockerenv",
  "/dev",
  "/dev/console",
  "/dev/mqueue",
  "/dev/pts",
  "/dev/shm",
  "/etc",
  "/etc/hostname",
  "/etc/hosts",
  "/etc/mtab",
  "/etc/resolv.conf",
  "/proc",
  "/sys",
  "/sys/fs",
  "/sys/fs/cgroup",
];

/** Calls `use` with the container's files. */
export async function withFiles<T>(
  engine: FilesEngine,
  call: Call,
  id: ContainerId,
  mode: "read" | "write",
  use: (root: string) => Promise<T>,
): Promise<T> {
  return withCleanup(async (cleanup) => {
    const root = await engine.containers.openFiles(call, id, mode);
    cleanup.always(() => engine.containers.closeFiles(cleanupCall(call), root));
    return use(root);
  });
}

/** Like `withFiles`, for a stream: the files are closed when the stream ends or its reader stops. */
export async function* streamFiles(
  engine: FilesEngine,
  call: Call,
  id: ContainerId,
  open: (root: string) => Promise<AsyncIterable<Uint8Array>>,
): AsyncGenerator<Uint8Array> {
  const root = await engine.containers.openFiles(call, id, "read");
  try {
    yield* await open(root);
  } finally {
    await engine.containers.closeFiles(cleanupCall(call), root);
  }
}

/** The snapshot below the container's layer. */
export async function baseOf(engine: FilesEngine, call: Call, record: Container): Promise<SnapshotName | null> {
  const storage = await engine.storage(record.drivers.storage);
  return (await storage.stat(call, record.layer)).parent;
}

export function publish(
  engine: FilesEngine,
  call: Call,
  record: Container,
  action: string,
  more: Readonly<Record<string, string>> = {},
): Promise<void> {
  const attributes = { image: record.imageName, name: record.name, ...record.config.labels, ...more };
  return engine.events.publish(call, { type: "container", action, id: record.id, attributes });
}
