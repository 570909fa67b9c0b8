/** What drivers whose launch is a command take out of a spec. */
import type { OciIdMapping, OciMount, OciSpec, Owners } from "./contract/exec.ts";
import { fail } from "./errors/index.ts";

/** The `owners` of a launch. Null: the container has the host's ids, or its user namespace is yet to be made. */
export function ownersOf({ linux, process }: OciSpec): Owners | null {
  if (!linux?.namespaces?.some(({ type, path }) => type === "user" && path !== undefined)) return null;
  const user = (process.user ?? {}) as { readonly uid?: number };
  return {
    root: { uid: onHost(linux.uidMappings, 0), gid: onHost(linux.gidMappings, 0) },
    process: onHost(linux.uidMappings, user.uid ?? 0),
  };
}

function onHost(mappings: unknown, id: number): number {
  const map = ((mappings ?? []) as readonly OciIdMapping[]).find(({ containerID, size }) => id >= containerID && id < containerID + size);
  if (map === undefined) throw fail("InvalidArgument", `id ${id} is not mapped in the container's user namespace`);
  return map.hostID + id - map.containerID;
}

/**
 * The mounts that the shim can make below the root before another runtime begins: not those in the kernel's own file systems, which the
 * runtime mounts, and none that are to be peers of the host's, since a runtime's mount namespace is a slave of the host's.
 */
export const mountsBefore = ({ mounts = [] }: OciSpec): readonly OciMount[] =>
  mounts.filter(
    ({ destination, options = [] }) =>
      !/^\/(dev|proc|sys)(\/|$)/.test(destination) && !options.some((option) => option === "shared" || option === "rshared"),
  );
