/**
 * The OCI runtime spec of a container: Docker's defaults, the image's config, the user's wishes, in this order. Pure: looks at nothing on
 * the host.
 */
import { type ContainerConfig, type ContainerId, fail, type IdMaps, type OciIdMapping, type OciMount, type OciSpec } from "@tsbox/kernel";
import type { NamespaceSource, NamespaceSources } from "../namespaces.ts";
import { allCapabilities, allDevices, defaultCapabilities, defaultMounts, defaultPath, deviceRules, ociVersion } from "./defaults.ts";
import { type Devices, parseRule } from "./devices.ts";
import { type BlockDevices, resourcesOf, rlimitsOf } from "./limits.ts";
import { hiddenPaths, type LabelModules, labelsOf, noNewPrivileges, seccompOf } from "./security.ts";

/** Who the first process is, looked up in the container's own files. */
export interface ResolvedUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
  readonly home: string;
}

export interface SpecInput {
  readonly id: ContainerId;
  readonly config: ContainerConfig;
  readonly argv: readonly string[];
  readonly user: ResolvedUser;
  /** Where its cgroup lies. */
  readonly cgroup: string;
  readonly namespaces: NamespaceSources;
  /** A path: joins it; null: the host's own network. */
  readonly netns: string | null;
  /** The user namespace, and what its ids are on the host; null: the host's. */
  readonly userns: { readonly path: string; readonly maps: IdMaps } | null;
  /** /etc/hosts, /etc/hostname and /etc/resolv.conf: target and the file on the host. */
  readonly files: readonly (readonly [string, string])[];
  /** The container's own mounts, attached. */
  readonly mounts: readonly OciMount[];
  /** Those asked for; for a privileged container all of the host's. */
  readonly devices: Devices;
  readonly blockDevices: BlockDevices;
  readonly labels: LabelModules;
}

/** Its first process is the engine's own, and the command that process's child (native/runtime/src/reaper.rs). */
export const initAnnotation = "io.tsbox.init";
/** Its root has what Docker has in every one (native/runtime/src/own_files.rs). */
const ownFilesAnnotation = "io.tsbox.own-files";

export function buildSpec(input: SpecInput): OciSpec {
  const { id, config, argv, user, netns, namespaces, userns, devices } = input;
  const capabilities = capabilitiesOf(config);
  const seccomp = seccompOf(config, capabilities);
  const labels = labelsOf(config, input.labels);
  const ownHost = namespaces.uts === "new";
  const rules = [...deviceRules, ...devices.rules, ...config.deviceRules.map(parseRule)];
  const { time } = config.isolation;
  return {
    ociVersion,
    process: {
      args: argv,
      env: environment(input),
      cwd: config.workingDirectory || "/",
      terminal: config.terminal,
      user: { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids },
      // As Docker: what a root user may do, another user's programs may be given by file capabilities.
      capabilities: {
        bounding: capabilities,
        effective: user.uid === 0 ? capabilities : [],
        permitted: user.uid === 0 ? capabilities : [],
      },
      noNewPrivileges: noNewPrivileges(config),
      oomScoreAdj: config.oomScoreAdj,
      ...(config.ulimits.length > 0 ? { rlimits: rlimitsOf(config.ulimits) } : {}),
      ...(labels.apparmorProfile === undefined ? {} : { apparmorProfile: labels.apparmorProfile }),
      ...(labels.selinuxLabel === undefined ? {} : { selinuxLabel: labels.selinuxLabel }),
    },
    root: { path: "rootfs", readonly: config.readOnlyRoot },
    hostname: !ownHost || (netns === null && config.hostname === "") ? "" : config.hostname || id.slice(0, 12),
    ...(config.domainname === "" || !ownHost ? {} : { domainname: config.domainname }),
    mounts: mountsOf(input),
    ...annotationsOf(config),
    linux: {
      namespaces: [
        { type: "mount" },
        ...(userns === null ? [] : [{ type: "user", path: userns.path }]),
        ...(netns === null ? [] : [{ type: "network", path: netns }]),
        ...namespace("uts", namespaces.uts),
        ...namespace("pid", namespaces.pid),
        ...namespace("ipc", namespaces.ipc),
        ...namespace("cgroup", namespaces.cgroup),
        ...(time === null ? [] : [{ type: "time" }]),
      ],
      ...(userns === null ? {} : { uidMappings: mappings(userns.maps.uids), gidMappings: mappings(userns.maps.gids) }),
      ...(time === null ? {} : { timeOffsets: { monotonic: clock(time.monotonic), boottime: clock(time.boottime) } }),
      cgroupsPath: input.cgroup,
      resources: { ...resourcesOf(config.resources, input.blockDevices), devices: config.privileged ? allDevices : rules },
      sysctl: sysctlsOf(config, netns, userns !== null),
      ...(devices.nodes.length > 0 ? { devices: devices.nodes } : {}),
      ...hiddenPaths(config),
      ...(labels.mountLabel === undefined ? {} : { mountLabel: labels.mountLabel }),
      ...(seccomp === undefined ? {} : { seccomp }),
    },
  };
}

function annotationsOf({ annotations, init }: ContainerConfig): Pick<OciSpec, "annotations"> {
  return { annotations: { ...annotations, [ownFilesAnnotation]: "true", ...(init ? { [initAnnotation]: "true" } : {}) } };
}

function namespace(type: string, source: NamespaceSource): readonly { readonly type: string; readonly path?: string }[] {
  if (source === "host") return [];
  return [source === "new" ? { type } : { type, path: source }];
}

export const mappings = (maps: IdMaps["uids"]): readonly OciIdMapping[] =>
  maps.map(({ containerId, hostId, size }) => ({ containerID: containerId, hostID: hostId, size }));

/** The runtime spec's seconds and nanoseconds, of which the second are never negative. */
function clock(nanoseconds: number): { readonly secs: number; readonly nanosecs: number } {
  const secs = Math.floor(nanoseconds / 1e9);
  return { secs, nanosecs: nanoseconds - secs * 1e9 };
}

/**
 * Docker's two, where the network is the container's own: every user may listen on any port and ping. A user namespace does not have the
 * ids of the second.
 */
function sysctlsOf(config: ContainerConfig, netns: string | null, mapped: boolean): Readonly<Record<string, string>> {
  const own = netns !== null && !config.network.startsWith("container:");
  return {
    ...(own ? { "net.ipv4.ip_unprivileged_port_start": "0" } : {}),
    ...(own && !mapped ? { "net.ipv4.ping_group_range": "0 2147483647" } : {}),
    ...config.sysctls,
  };
}

/** Names with or without CAP_, in any case; ALL is all. Drop ALL first, then what is added. */
export function capabilitiesOf(config: Pick<ContainerConfig, "privileged" | "capAdd" | "capDrop">): readonly string[] {
  if (config.privileged) return allCapabilities;
  const add = config.capAdd.map(capability);
  const drop = config.capDrop.map(capability);
  const base = add.includes("ALL") ? allCapabilities : drop.includes("ALL") ? [] : defaultCapabilities;
  const kept = base.filter((name) => !drop.includes(name));
  return [...kept, ...add.filter((name) => name !== "ALL" && !kept.includes(name))];
}

function capability(name: string): string {
  const upper = name.toUpperCase();
  if (upper === "ALL") return upper;
  const full = upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
  if (allCapabilities.includes(full)) return full;
  throw fail("InvalidArgument", `invalid capability "${name}": see capabilities(7) for their names`);
}

/**
 * PATH, HOSTNAME, TERM and HOME where neither image nor user says otherwise; an empty HOME is none. Where another passwd lies over the
 * image's, the runtime looks for HOME, in the container.
 */
function environment({ config, user, mounts }: SpecInput): readonly string[] {
  const env = config.env.filter((pair) => pair !== "HOME=");
  const has = (name: string): boolean => env.some((pair) => pair.startsWith(`${name}=`));
  const isCovered = mounts.some(({ destination }) => ["/etc", "/etc/passwd"].includes(destination.replace(/(?<=.)\/+$/, "")));
  return [
    ...(has("PATH") ? [] : [`PATH=${defaultPath}`]),
    ...(has("HOSTNAME") || config.hostname === "" ? [] : [`HOSTNAME=${config.hostname}`]),
    ...(config.terminal && !has("TERM") ? ["TERM=xterm"] : []),
    ...env.filter((pair) => pair.includes("=")),
    ...(has("HOME") || isCovered ? [] : [`HOME=${user.home}`]),
  ];
}

function mountsOf({ config, files, namespaces, mounts: asked }: SpecInput): readonly OciMount[] {
  const taken = new Set(asked.map((mount) => mount.destination));
  const own = files
    .filter(([target]) => !taken.has(target))
    .map(([destination, source]) => ({
      destination,
      type: "bind",
      source,
      // As Docker: what is read-only is so with these files.
      options: ["rbind", "rprivate", ...(config.readOnlyRoot ? ["ro"] : [])],
    }));
  const kept = defaultMounts(config.shmSize, config.privileged)
    .flatMap((mount) => (mount.destination === "/dev/shm" ? sharedMemory(mount, namespaces.sharedMemory) : [mount]))
    .filter((mount) => !taken.has(mount.destination));
  // A mount below another comes after it: by depth, else in the order asked.
  const depth = (mount: OciMount): number => mount.destination.split("/").filter(Boolean).length;
  return [...kept, ...[...own, ...asked].sort((a, b) => depth(a) - depth(b))];
}

function sharedMemory(own: OciMount, source: string | null): readonly OciMount[] {
  if (source === null) return [own];
  return source === "none" ? [] : [{ destination: own.destination, type: "bind", source, options: ["rbind", "nosuid", "noexec", "nodev"] }];
}
