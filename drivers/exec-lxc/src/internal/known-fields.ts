/**
 * The fields of an OCI runtime spec that the driver turns into words of LXC. Any other field is refused by name: a limit that is silently
 * dropped would be no limit.
 */
import { fail, type OciSpec } from "@tsbox/kernel";

interface Fields {
  /** true: the runtime checks everything below. `items`: the fields of each element of a list. */
  readonly [name: string]: true | Fields | { readonly items: Fields };
}

const mount: Fields = { destination: true, type: true, source: true, options: true, uidMappings: true, gidMappings: true };

const process: Fields = {
  terminal: true,
  consoleSize: true,
  user: { uid: true, gid: true, umask: true, additionalGids: true },
  args: true,
  env: true,
  cwd: true,
  capabilities: { bounding: true, effective: true, inheritable: true, permitted: true, ambient: true },
  rlimits: { items: { type: true, soft: true, hard: true } },
  noNewPrivileges: true,
  apparmorProfile: true,
  oomScoreAdj: true,
  selinuxLabel: true,
  ioPriority: true,
  scheduler: true,
};

const resources: Fields = {
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

const known: Fields = {
  ociVersion: true,
  process,
  root: { path: true, readonly: true },
  hostname: true,
  mounts: { items: mount },
  annotations: true,
  linux: {
    uidMappings: true,
    gidMappings: true,
    sysctl: true,
    resources,
    cgroupsPath: true,
    namespaces: { items: { type: true, path: true } },
    timeOffsets: { monotonic: { secs: true, nanosecs: true }, boottime: { secs: true, nanosecs: true } },
    devices: true,
    seccomp: { defaultAction: true, defaultErrnoRet: true, architectures: true, flags: true, syscalls: true },
    rootfsPropagation: true,
    maskedPaths: true,
    readonlyPaths: true,
  },
};

/** `Unsupported` with the field's name, such as `linux.intelRdt`. A field that is null or missing is accepted. */
export function refuseUnknown(spec: OciSpec): void {
  check(spec, known, "");
}

function check(value: unknown, fields: Fields, path: string): void {
  if (typeof value !== "object" || value === null) return;
  for (const [name, field] of Object.entries(value)) {
    if (field === undefined || field === null) continue;
    const full = path === "" ? name : `${path}.${name}`;
    const below = fields[name];
    if (below === undefined)
      throw fail("Unsupported", `LXC can't express ${full} of an OCI spec; leave it out, or use the exec driver native`);
    if (below === true) continue;
    if (!isItems(below)) check(field, below, full);
    else if (Array.isArray(field)) for (const [at, item] of field.entries()) check(item, below.items, `${full}[${at}]`);
  }
}

function isItems(fields: Fields | { readonly items: Fields }): fields is { readonly items: Fields } {
  return typeof fields.items === "object";
}
