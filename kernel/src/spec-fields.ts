/**
 * The fields of an OCI runtime spec, for drivers that carry out some of them. A driver refuses every other field by its name: a limit that
 * is silently dropped would be no limit.
 */
import type { OciSpec } from "./contract/exec.ts";

/** A leaf says something of a field and of all below it. The fields of a list are those of its elements. */
export interface SpecFields<Leaf> {
  readonly [name: string]: Leaf | SpecFields<Leaf>;
}

const mount: SpecFields<true> = { destination: true, type: true, source: true, options: true, uidMappings: true, gidMappings: true };

const process: SpecFields<true> = {
  terminal: true,
  consoleSize: true,
  user: { uid: true, gid: true, umask: true, additionalGids: true },
  args: true,
  env: true,
  cwd: true,
  capabilities: { bounding: true, effective: true, inheritable: true, permitted: true, ambient: true },
  rlimits: { type: true, soft: true, hard: true },
  noNewPrivileges: true,
  apparmorProfile: true,
  oomScoreAdj: true,
  selinuxLabel: true,
  ioPriority: true,
  scheduler: true,
};

const resources: SpecFields<true> = {
  devices: true,
  memory: {
    limit: true,
    reservation: true,
    swap: true,
    kernel: true,
    kernelTCP: true,
    swappiness: true,
    disableOOMKiller: true,
    useHierarchy: true,
  },
  cpu: {
    shares: true,
    quota: true,
    burst: true,
    period: true,
    realtimeRuntime: true,
    realtimePeriod: true,
    cpus: true,
    mems: true,
    idle: true,
  },
  pids: { limit: true },
  blockIO: {
    weight: true,
    weightDevice: true,
    throttleReadBpsDevice: true,
    throttleWriteBpsDevice: true,
    throttleReadIOPSDevice: true,
    throttleWriteIOPSDevice: true,
  },
  hugepageLimits: true,
  network: true,
  rdma: true,
  unified: true,
};

/** What the engine's own runtime carries out. A driver with fewer means refuses what it lacks of it. */
export const linuxFields: SpecFields<true> = {
  ociVersion: true,
  process,
  root: { path: true, readonly: true },
  hostname: true,
  domainname: true,
  mounts: mount,
  annotations: true,
  // Hooks after the start and after the end can't be run: the shim answers when the command runs, and ends with it.
  hooks: { prestart: true, createRuntime: true, createContainer: true, startContainer: true },
  linux: {
    uidMappings: true,
    gidMappings: true,
    sysctl: true,
    resources,
    cgroupsPath: true,
    namespaces: { type: true, path: true },
    timeOffsets: { monotonic: { secs: true, nanosecs: true }, boottime: { secs: true, nanosecs: true } },
    devices: true,
    seccomp: { defaultAction: true, defaultErrnoRet: true, architectures: true, flags: true, syscalls: true },
    rootfsPropagation: true,
    maskedPaths: true,
    readonlyPaths: true,
    mountLabel: true,
  },
};

/**
 * Calls `judge` for each field that `spec` sets, with its full name, such as `mounts[1].type`, and its leaf; undefined: `known` does not
 * have the field. A field that is null or missing asks for nothing.
 */
export function judgeFields<Leaf extends true | string>(
  spec: OciSpec,
  known: SpecFields<Leaf>,
  judge: (name: string, leaf: Leaf | undefined) => void,
): void {
  const visit = (value: unknown, fields: SpecFields<Leaf>, path: string): void => {
    if (Array.isArray(value)) {
      for (const [at, item] of value.entries()) visit(item, fields, `${path}[${at}]`);
      return;
    }
    if (typeof value !== "object" || value === null) return;
    for (const [name, field] of Object.entries(value)) {
      if (field === undefined || field === null) continue;
      const full = path === "" ? name : `${path}.${name}`;
      const below = Object.hasOwn(fields, name) ? fields[name] : undefined;
      if (typeof below === "object") visit(field, below, full);
      else judge(full, below);
    }
  };
  visit(spec, known, "");
}
