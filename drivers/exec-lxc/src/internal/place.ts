/** Where a container's files are. */
import { join } from "node:path";

/** What LXC's programs get. */
export const environment: Readonly<Record<string, string>> = { PATH: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin" };

export interface Place {
  /** The bundle's directory of this driver. */
  readonly directory: string;
  /** The shim mounts the container's root here. */
  readonly root: string;
  /** LXC's own log, which is also the launch's report. */
  readonly log: string;
  readonly pidFile: string;
  readonly seccomp: string;
  /** Writes the pid file: LXC runs it when the first process is made. */
  readonly hook: string;
}

/**
 * The root of a user namespace is nobody on the host, and may not enter the engine's directories, but LXC wants it to enter its path and
 * the container's root. These are for such containers. The root is empty, and stays so: each launch mounts in a mount namespace of its own.
 */
const publicRoot = "/run/tsbox-lxc/rootfs";
export const publicPath = "/run/tsbox-lxc/containers";

/** `mapped`: the container is in a user namespace. */
export function placeOf(bundle: string, mapped: boolean): Place {
  const directory = join(bundle, "lxc");
  const at = (name: string): string => join(directory, name);
  return {
    directory,
    root: mapped ? publicRoot : at("rootfs"),
    log: at("log"),
    pidFile: at("pid"),
    seccomp: at("seccomp"),
    hook: at("started"),
  };
}
