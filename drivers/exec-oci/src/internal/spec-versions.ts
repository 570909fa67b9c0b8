/**
 * The fields of the OCI runtime spec, with the version that brought them. A runtime ignores what it does not know, and a limit that is
 * silently dropped would be no limit: a field that no version has, or that is newer than the runtime, is refused by its name.
 */
import { fail, judgeFields, mountsBefore, type OciMount, type OciSpec, type SpecFields } from "@tsbox/kernel";
import semver from "semver";

const first = "1.0.0";

/** The version with which each field came, and all below it. */
const spec: SpecFields<string> = {
  ociVersion: first,
  root: first,
  hostname: first,
  domainname: "1.1.0",
  annotations: first,
  hooks: first,
  mounts: { destination: first, type: first, source: first, options: first, uidMappings: "1.1.0", gidMappings: "1.1.0" },
  process: {
    terminal: first,
    consoleSize: first,
    user: first,
    args: first,
    env: first,
    cwd: first,
    capabilities: first,
    rlimits: first,
    noNewPrivileges: first,
    apparmorProfile: first,
    oomScoreAdj: first,
    selinuxLabel: first,
    ioPriority: "1.1.0",
    scheduler: "1.1.0",
    execCPUAffinity: "1.2.1",
  },
  linux: {
    uidMappings: first,
    gidMappings: first,
    sysctl: first,
    resources: {
      devices: first,
      memory: first,
      cpu: {
        shares: first,
        quota: first,
        period: first,
        realtimeRuntime: first,
        realtimePeriod: first,
        cpus: first,
        mems: first,
        burst: "1.1.0",
        idle: "1.1.0",
      },
      pids: first,
      blockIO: first,
      hugepageLimits: first,
      network: first,
      rdma: first,
      unified: "1.0.2",
    },
    cgroupsPath: first,
    namespaces: first,
    devices: first,
    seccomp: first,
    rootfsPropagation: first,
    maskedPaths: first,
    readonlyPaths: first,
    mountLabel: first,
    intelRdt: first,
    personality: "1.0.2",
    timeOffsets: "1.1.0",
    memoryPolicy: "1.3.0",
    netDevices: "1.3.0",
  },
};
/** Annotations of the engine that its own runtime alone carries out, and what they ask for. */
const own: Readonly<Record<string, string>> = { "io.tsbox.init": "an init process (--init)" };

/**
 * The mounts that the shim makes for a runtime that is older than id maps of mounts (1.1.0). If there is one, the shim makes all of them,
 * since a later one may lie on an earlier one.
 */
export function mountsOfNewer(spec: OciSpec, version: string): readonly OciMount[] {
  const before = mountsBefore(spec);
  return semver.lt(version, "1.1.0") && before.some(({ uidMappings }) => uidMappings !== undefined) ? before : [];
}

/** `version`: the newest version of the spec that the runtime knows. A field that is null or missing asks for nothing. */
export function refuseNewer(asked: OciSpec, version: string, runtime: string): void {
  judgeFields(asked, spec, (field, since) => {
    if (since === undefined) throw fail("Unsupported", `${field} is no field of an OCI spec that ${runtime} carries out; leave it out`);
    if (semver.lt(version, since))
      throw fail("Unsupported", `${runtime} knows version ${version} of the OCI spec, and ${field} came with ${since}; leave it out`);
  });
  for (const [annotation, what] of Object.entries(own))
    if (asked.annotations?.[annotation] !== undefined)
      throw fail("Unsupported", `${runtime} has no means for ${what}; leave it out, or use the exec driver native`);
}
