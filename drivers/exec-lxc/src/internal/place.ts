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
  /** Makes device nodes: LXC runs it when the root's /dev is there. */
  readonly devices: string;
  /** Sets sysctls: LXC runs it in the new namespaces, before any mount. */
  readonly sysctls: string;
}

export function placeOf(bundle: string): Place {
  const directory = join(bundle, "lxc");
  const at = (name: string): string => join(directory, name);
  return {
    directory,
    root: at("rootfs"),
    log: at("log"),
    pidFile: at("pid"),
    seccomp: at("seccomp"),
    hook: at("started"),
    devices: at("devices"),
    sysctls: at("sysctls"),
  };
}
