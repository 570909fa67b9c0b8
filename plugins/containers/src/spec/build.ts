/** The OCI runtime spec of a container: Docker's defaults, the image's config, the user's wishes, in this order. Pure: looks at nothing on the host. */
import { type ContainerConfig, type ContainerId, fail, type OciMount, type OciSpec, type Resources } from "@tsbox/kernel";
import {
  allCapabilities,
  allDevices,
  defaultCapabilities,
  defaultMounts,
  defaultPath,
  deviceRules,
  maskedPaths,
  ociVersion,
  readonlyPaths,
} from "./defaults.ts";
import type { DeviceNode } from "./devices.ts";
import { seccompFor } from "./seccomp.ts";

/** Who the first process is, looked up in the container's own files. */
export interface ResolvedUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
  readonly home: string;
}

export interface SpecInput {
  readonly id: ContainerId;
  readonly engineId: string;
  readonly config: ContainerConfig;
  readonly argv: readonly string[];
  readonly user: ResolvedUser;
  /** A path: joins it; null: the host's own network. */
  readonly netns: string | null;
  /** /etc/hosts, /etc/hostname and /etc/resolv.conf: target and the file on the host. */
  readonly files: readonly (readonly [string, string])[];
  /** The container's own mounts, attached. */
  readonly mounts: readonly OciMount[];
  /** The host's, for a privileged container; else none. */
  readonly devices: readonly DeviceNode[];
}

export function buildSpec(input: SpecInput): OciSpec {
  const { id, engineId, config, argv, user, netns } = input;
  const capabilities = capabilitiesOf(config);
  const unconfined = config.privileged || config.securityOptions.some((option) => /^seccomp[=:]unconfined$/.test(option));
  const mounts = mountsOf(input);
  return {
    ociVersion,
    process: {
      args: argv,
      env: environment(config, user.home),
      cwd: config.workingDirectory || "/",
      terminal: config.terminal,
      user: { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids },
      // As Docker: what a root user may do, another user's programs may be given by file capabilities.
      capabilities: {
        bounding: capabilities,
        effective: user.uid === 0 ? capabilities : [],
        permitted: user.uid === 0 ? capabilities : [],
      },
      noNewPrivileges: config.securityOptions.some((option) => /^no-new-privileges([=:]true)?$/.test(option)),
      oomScoreAdj: 0,
    },
    root: { path: "rootfs", readonly: config.readOnlyRoot },
    hostname: netns === null && config.hostname === "" ? "" : config.hostname || id.slice(0, 12),
    ...(config.domainname === "" ? {} : { domainname: config.domainname }),
    mounts,
    linux: {
      namespaces: [
        { type: "mount" },
        ...(netns === null ? [] : [{ type: "network", path: netns }]),
        { type: "uts" },
        { type: "pid" },
        { type: "ipc" },
        { type: "cgroup" },
      ],
      cgroupsPath: `/tsbox-${engineId}/${id}`,
      resources: { ...resourcesOf(config.resources), devices: config.privileged ? allDevices : deviceRules },
      sysctl: { "net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647" },
      ...(input.devices.length > 0 ? { devices: input.devices } : {}),
      ...(config.privileged ? {} : { maskedPaths, readonlyPaths }),
      ...(unconfined ? {} : { seccomp: seccompFor(capabilities) }),
      ...(netns === null ? { sysctl: {} } : {}),
    },
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

/** PATH, HOSTNAME, TERM and HOME where neither image nor user says otherwise. */
function environment(config: ContainerConfig, home: string): readonly string[] {
  const has = (name: string): boolean => config.env.some((pair) => pair.startsWith(`${name}=`));
  return [
    ...(has("PATH") ? [] : [`PATH=${defaultPath}`]),
    ...(has("HOSTNAME") || config.hostname === "" ? [] : [`HOSTNAME=${config.hostname}`]),
    ...(config.terminal && !has("TERM") ? ["TERM=xterm"] : []),
    ...config.env.filter((pair) => pair.includes("=")),
    ...(has("HOME") ? [] : [`HOME=${home}`]),
  ];
}

function mountsOf({ config, files, mounts: asked }: SpecInput): readonly OciMount[] {
  const taken = new Set(asked.map((mount) => mount.destination));
  const own = files
    .filter(([target]) => !taken.has(target))
    .map(([destination, source]) => ({ destination, type: "bind", source, options: ["rbind", "rprivate"] }));
  const kept = defaultMounts(config.shmSize, config.privileged).filter((mount) => !taken.has(mount.destination));
  // A mount below another comes after it: by depth, else in the order asked.
  const depth = (mount: OciMount): number => mount.destination.split("/").filter(Boolean).length;
  return [...kept, ...[...own, ...asked].sort((a, b) => depth(a) - depth(b))];
}

function resourcesOf(resources: Resources): Readonly<Record<string, unknown>> {
  const given = <T>(entries: Readonly<Record<string, T | null>>): Record<string, T> =>
    Object.fromEntries(Object.entries(entries).filter((entry): entry is [string, T] => entry[1] !== null));
  const memory = given({
    limit: resources.memory,
    // As Docker: twice the memory, unless told otherwise.
    swap: resources.memorySwap ?? (resources.memory === null ? null : resources.memory * 2),
    reservation: resources.memoryReservation,
  });
  const cpu = given<number | string>({
    shares: resources.cpuShares,
    quota: resources.cpuQuota,
    period: resources.cpuPeriod,
    cpus: resources.cpusetCpus,
    mems: resources.cpusetMems,
  });
  return {
    ...(Object.keys(memory).length > 0 ? { memory } : {}),
    ...(Object.keys(cpu).length > 0 ? { cpu } : {}),
    ...(resources.pids === null ? {} : { pids: { limit: resources.pids } }),
  };
}
