/**
 * Which namespaces a container gets: new ones, the host's, or those of another running container. Looked up at each start, because the
 * other container's process changes with each of its starts.
 */
import { type Container, type ContainerConfig, fail } from "@tsbox/kernel";
import type { Records } from "./records.ts";

/** "new", "host", or the path of a namespace to join. */
export type NamespaceSource = string;

export interface NamespaceSources {
  readonly pid: NamespaceSource;
  readonly ipc: NamespaceSource;
  readonly uts: NamespaceSource;
  readonly cgroup: NamespaceSource;
  /** The peer's namespace for `--network container:…`; else "new", and the network decides. */
  readonly network: NamespaceSource;
  /** The source of /dev/shm: a path of the host or of another container; null: a new tmpfs; "none": no /dev/shm. */
  readonly sharedMemory: string | null;
  /** The container whose network is shared, directly or through others. This container has its names and addresses. */
  readonly networkOf: Container | null;
}

/** The container whose network is joined; null: none. */
export const networkPeer = ({ network }: Pick<ContainerConfig, "network">): string | null =>
  network.startsWith("container:") ? network.slice("container:".length) : null;

/** The container whose namespace is joined; null: none. */
export const peerOf = (mode: string): string | null => (mode.startsWith("container:") ? mode.slice("container:".length) : null);

/** `NotFound` and `Conflict` in Docker's words: the other container does not exist, does not run, or does not share its ipc namespace. */
export function namespaceSources(records: Records, { config }: Container): NamespaceSources {
  const { isolation } = config;
  const join = (mode: string, called: string, file: string): NamespaceSource => {
    const peer = peerOf(mode);
    if (peer === null) return mode === "host" ? "host" : "new";
    return `/proc/${running(records, peer, called).pid}/ns/${file}`;
  };
  const ipcPeer = peerOf(isolation.ipc);
  const peer = networkPeer(config);
  const joined = peer === null ? null : running(records, peer, "network");
  return {
    pid: join(isolation.pid, "PID", "pid"),
    ipc: join(isolation.ipc, "IPC", "ipc"),
    uts: join(isolation.uts, "UTS", "uts"),
    cgroup: join(isolation.cgroup, "cgroup", "cgroup"),
    network: joined === null ? "new" : `/proc/${joined.pid}/ns/net`,
    sharedMemory: sharedMemoryOf(isolation.ipc, ipcPeer === null ? null : shareable(records, ipcPeer)),
    networkOf: joined === null ? null : ownerOf(records, joined),
  };
}

/** The end of a chain of containers that share a network. If one of them was removed, the last one that remains. */
function ownerOf(records: Records, from: Container): Container {
  const seen = new Set<string>();
  for (let at = from; ; ) {
    seen.add(at.id);
    const peer = networkPeer(at.config);
    const next = peer === null ? null : records.look(peer);
    if (next === null || seen.has(next.id)) return at;
    at = next;
  }
}

function sharedMemoryOf(mode: string, peer: Container | null): string | null {
  if (peer !== null) return `/proc/${peer.pid}/root/dev/shm`;
  if (mode === "host") return "/dev/shm";
  return mode === "none" ? "none" : null;
}

function shareable(records: Records, reference: string): Container {
  const peer = running(records, reference, "IPC");
  const { ipc } = peer.config.isolation;
  if (ipc === "private" || ipc === "none")
    throw fail(
      "Conflict",
      `cannot join IPC of container ${peer.name}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)`,
    );
  return peer;
}

function running(records: Records, reference: string, called: string): Container {
  const peer = records.find(reference);
  if (peer.status === "running" || peer.status === "paused") return peer;
  throw fail("Conflict", `cannot join ${called} of a non running container: ${peer.id}`);
}
