/**
 * Builds the OCI runtime spec of a container from Docker's defaults, the image's config and the user's options, in this order. Pure: does
 * not look at the host.
 */
import { type ContainerConfig, type ContainerId, fail, type IdMaps, type OciIdMapping, type OciMount, type OciSpec } from "@tsbox/kernel";
import type { NamespaceSource, NamespaceSources } from "../namespaces.ts";
import {
  allCapabilities,
  allDevices,
  defaultCapabilities,
  defaultMounts,
  defaultPath,
  deviceRules,
  hostCapabilities,
  ociVersion,
} from "./defaults.ts";
import { type Devices, parseRule } from "./devices.ts";
import { type BlockDevices, resourcesOf, rlimitsOf } from "./limits.ts";
import { hiddenPaths, type LabelModules, labelsOf, noNewPrivileges, seccompOf } from "./security.ts";

/** The user of the first process, from the container's own passwd and group files. */
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
  /** The path of its cgroup. */
  readonly cgroup: string;
  readonly namespaces: NamespaceSources;
  /** The path of the network namespace to join; null: the host's. */
  readonly netns: string | null;
  /** The user namespace and its mapping to host ids; null: the host's. */
  readonly userns: { readonly path: string; readonly maps: IdMaps } | null;
  /** /etc/hosts, /etc/hostname and /etc/resolv.conf: target and file on the host. */
  readonly files: readonly (readonly [string, string])[];
  /** The container's own mounts, attached. */
  readonly mounts: readonly OciMount[];
  /** The requested devices; for a privileged container also all of the host's. */
  readonly devices: Devices;
  readonly blockDevices: BlockDevices;
  readonly labels: LabelModules;
}

/** The first process is the engine's init, which runs the command as its child (native/runtime/src/reaper.rs). */
export const initAnnotation = "io.tsbox.init";
/** The root gets the files that Docker puts into every container (native/runtime/src/own_files.rs). */
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
      // As in Docker: only root has the capabilities; programs of other users can get them through file capabilities.
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

/** Seconds and nanoseconds in the runtime spec's form: the nanoseconds are never negative. */
function clock(nanoseconds: number): { readonly secs: number; readonly nanosecs: number } {
  const secs = Math.floor(nanoseconds / 1e9);
  return { secs, nanosecs: nanoseconds - secs * 1e9 };
}

/**
 * Docker's two defaults for a container with its own network: every user may listen on any port and ping. The second one is left out in a
 * user namespace, which does not have those group ids.
 */
function sysctlsOf(config: ContainerConfig, netns: string | null, mapped: boolean): Readonly<Record<string, string>> {
  const own = netns !== null && !config.network.startsWith("container:");
  return {
    ...(own ? { "net.ipv4.ip_unprivileged_port_start": "0" } : {}),
    ...(own && !mapped ? { "net.ipv4.ping_group_range": "0 2147483647" } : {}),
    ...config.sysctls,
  };
}

/** Accepts names with or without CAP_, in any case; ALL means all. Dropping ALL applies first, then the added ones. */
export function capabilitiesOf(config: Pick<ContainerConfig, "privileged" | "capAdd" | "capDrop">): readonly string[] {
  if (config.privileged) return hostCapabilities();
  const add = config.capAdd.map(capability);
  const drop = config.capDrop.map(capability);
  const base = add.includes("ALL") ? hostCapabilities() : drop.includes("ALL") ? [] : defaultCapabilities;
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
 * Sets PATH, HOSTNAME, TERM and HOME unless image or user set them; an empty HOME counts as unset. If a mount covers the image's passwd,
 * the runtime looks up HOME in the container.
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
      // As in Docker: with a read-only root these files are read-only, too.
      options: ["rbind", "rprivate", ...(config.readOnlyRoot ? ["ro"] : [])],
    }));
  const kept = defaultMounts(config.shmSize, config.privileged)
    .flatMap((mount) => (mount.destination === "/dev/shm" ? sharedMemory(mount, namespaces.sharedMemory) : [mount]))
    .filter((mount) => !taken.has(mount.destination));
  // A mount below another must come after it. Sorted by depth, then in the order given.
  const depth = (mount: OciMount): number => mount.destination.split("/").filter(Boolean).length;
  return [...kept, ...[...own, ...asked].sort((a, b) => depth(a) - depth(b))];
}

function sharedMemory(own: OciMount, source: string | null): readonly OciMount[] {
  if (source === null) return [own];
  return source === "none" ? [] : [{ destination: own.destination, type: "bind", source, options: ["rbind", "nosuid", "noexec", "nodev"] }];
}
