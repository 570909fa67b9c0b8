/**
 * Limits of a container's cgroup in the form of the OCI runtime specification (`linux.resources`). Both the exec contract and the host's
 * toolkit take them.
 */
export interface OciResources {
  readonly [key: string]: unknown;
}
