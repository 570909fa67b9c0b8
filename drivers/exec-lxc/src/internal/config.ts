/**
 * An OCI spec as a configuration of LXC. What LXC has no word for is refused by its name: a limit that is silently dropped would be no
 * limit.
 */
import { type FormatOption, fail, type OciIdMapping, type OciLinux, type OciSpec } from "@tsbox/kernel";
import { devLines, hook, nodeLines } from "./devices.ts";
import { limitLines } from "./limits.ts";
import { hiddenLines, mountLines } from "./mounts.ts";
import type { Place } from "./place.ts";
import { processLines } from "./process.ts";
import { userLines } from "./user-lines.ts";
import { quoted, unsupported } from "./words.ts";

export interface Given {
  readonly spec: OciSpec;
  readonly place: Place;
  readonly cgroup: string;
  readonly layout: "v1" | "hybrid" | "v2";
  /** The engine's native program. */
  readonly program: string;
  readonly options: readonly FormatOption[];
}

export function configOf(given: Given): string {
  const { spec, place, cgroup, layout } = given;
  const linux = spec.linux ?? {};
  refusePropagation(linux);
  const seccomp = linux.seccomp === undefined || linux.seccomp === null ? [] : [`lxc.seccomp.profile = ${place.seccomp}`];
  const lines = [
    `lxc.uts.name = ${spec.hostname || "localhost"}`,
    `lxc.rootfs.path = dir:${place.root}`,
    // The process takes a terminal of the container's own by itself, if it needs one.
    "lxc.console.path = none",
    "lxc.tty.max = 0",
    "lxc.pty.max = 1024",
    "lxc.signal.halt = SIGTERM",
    // The container goes on without its monitor, and its shim says how it ended.
    "lxc.monitor.signal.pdeath = 0",
    `lxc.hook.start-host = ${place.hook}`,
    ...namespaceLines(linux),
    ...idMaps(linux),
    `lxc.cgroup.dir.container = ${relative(cgroup)}`,
    `lxc.cgroup.dir.monitor = ${relative(cgroup)}.monitor`,
    `lxc.cgroup.dir.monitor.pivot = ${relative(cgroup)}.pivot`,
    ...limitLines(linux.resources ?? {}, layout),
    ...devLines(spec),
    ...mountLines(spec, given.program),
    ...hiddenLines(linux),
    ...processLines(spec),
    ...seccomp,
    // Before the mounts, which make /proc/sys read-only.
    ...hook("pre-mount", sysctlCommands(spec)),
    ...nodeLines(spec),
    ...userLines(given.options),
  ];
  const broken = lines.find((line) => line.includes("\n"));
  if (broken !== undefined) throw unsupported(`a line break in ${JSON.stringify(broken.slice(0, 60))}`);
  return `${lines.join("\n")}\n`;
}

/** The monitor's cgroups, which LXC leaves when the container has ended. */
export const monitorGroups = (cgroup: string): readonly string[] => [`${relative(cgroup)}.monitor`, `${relative(cgroup)}.pivot`];

/**
 * The commands that set the spec's sysctls. They run in the container's namespaces and with the host's /proc, which shows a process its
 * own namespaces' values.
 */
export function sysctlCommands({ linux }: OciSpec): readonly string[] {
  return Object.entries((linux?.sysctl ?? {}) as Readonly<Record<string, string>>).map(([name, value]) => {
    if (!/^[a-zA-Z0-9_-]+([./][a-zA-Z0-9_-]+)+$/.test(name)) throw fail("InvalidArgument", `${JSON.stringify(name)} is no sysctl`);
    return `echo ${quoted(value)} >${quoted(`/proc/sys/${name.replaceAll(".", "/")}`)}`;
  });
}

/** LXC would make what the shim has mounted below the root read-only, too: so the shim makes the root read-only. */
export const isReadOnly = ({ root }: OciSpec): boolean =>
  typeof root === "object" && root !== null && "readonly" in root && root.readonly === true;

function refusePropagation({ rootfsPropagation: propagation }: OciLinux): void {
  if (propagation !== undefined && propagation !== "" && propagation !== "private" && propagation !== "rprivate")
    throw unsupported(`linux.rootfsPropagation ${String(propagation)}`);
}

/** LXC makes all namespaces but that of users; one that the spec leaves out is the host's. */
function namespaceLines({ namespaces = [], timeOffsets }: OciLinux): readonly string[] {
  const names: Readonly<Record<string, string>> = { network: "net", mount: "mnt" };
  const all = ["network", "uts", "pid", "ipc", "cgroup"];
  const shared = [...all, "user"];
  const unknown = namespaces.find(({ type }) => ![...all, "mount", "user", "time"].includes(type));
  if (unknown !== undefined) throw unsupported(`the namespace ${unknown.type}`);
  const path = (kind: string): string | undefined => namespaces.find(({ type }) => type === kind)?.path || undefined;
  const has = (kind: string): boolean => namespaces.some(({ type }) => type === kind);
  for (const kind of ["mount", "cgroup", "time"]) if (path(kind) !== undefined) throw unsupported(`a ${kind} namespace by its path`);
  const kept = all.filter((kind) => !has(kind) && kind !== "network");
  const offsets = (timeOffsets ?? {}) as Readonly<Record<string, { readonly secs?: number; readonly nanosecs?: number }>>;
  return [
    ...shared.flatMap((kind) => (path(kind) === undefined ? [] : [`lxc.namespace.share.${names[kind] ?? kind} = ${path(kind)}`])),
    ...(kept.length === 0 ? [] : [`lxc.namespace.keep = ${[...(has("user") ? [] : ["user"]), ...kept].join(" ")}`]),
    ...(has("network") ? (path("network") === undefined ? ["lxc.net.0.type = empty"] : []) : ["lxc.net.0.type = none"]),
    ...Object.entries(offsets).map(([clock, { secs = 0, nanosecs = 0 }]) => {
      if (nanosecs !== 0) throw unsupported("linux.timeOffsets of less than a second");
      return `lxc.time.offset.${clock === "boottime" ? "boot" : clock} = ${secs}s`;
    }),
  ];
}

function idMaps({ uidMappings, gidMappings }: OciLinux): readonly string[] {
  const lines = (kind: string, list: unknown): readonly string[] =>
    ((list ?? []) as readonly OciIdMapping[]).map(
      ({ containerID, hostID, size }) => `lxc.idmap = ${kind} ${containerID} ${hostID} ${size}`,
    );
  return [...lines("u", uidMappings), ...lines("g", gidMappings)];
}

const relative = (cgroup: string): string => cgroup.replace(/^\/+/, "");
