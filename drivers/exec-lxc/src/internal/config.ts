/**
 * An OCI spec as a configuration of LXC. What LXC has no word for is refused by its name: a limit that is silently dropped would be no
 * limit.
 */
import { existsSync, lstatSync, readFileSync, realpathSync } from "node:fs";
import { dirname, normalize } from "node:path";
import { type FormatOption, fail, mountsBefore, type OciIdMapping, type OciLinux, type OciMount, type OciSpec } from "@tsbox/kernel";
import { limitLines } from "./limits.ts";
import type { Place } from "./place.ts";
import { userLines } from "./user-lines.ts";

/** Where the container finds the engine's program, below its /dev, which is a file system of its own. */
export const enterPath = "/dev/.tsbox/tsbox-enter";
export const initPath = "/dev/.tsbox/tsbox-init";

export interface Given {
  readonly spec: OciSpec;
  readonly place: Place;
  readonly cgroup: string;
  readonly layout: "v1" | "hybrid" | "v2";
  /** The engine's native program. */
  readonly program: string;
  readonly options: readonly FormatOption[];
}

interface User {
  readonly uid?: number;
  readonly gid?: number;
  readonly additionalGids?: readonly number[];
  readonly umask?: number | null;
}
interface Capabilities {
  readonly bounding?: readonly string[];
  readonly effective?: readonly string[];
  readonly inheritable?: readonly string[];
  readonly ambient?: readonly string[];
}
interface DeviceNode {
  readonly path: string;
  /** A word of the engine's own: the host's node, which a user namespace gets. */
  readonly hostPath?: string;
  readonly type: string;
  readonly major?: number;
  readonly minor?: number;
  readonly fileMode?: number | null;
  readonly uid?: number | null;
  readonly gid?: number | null;
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
    ...mountLines(given),
    ...hidden(linux),
    ...processLines(spec),
    ...seccomp,
    // Before the mounts, which make /proc/sys read-only.
    ...hook("pre-mount", sysctlCommands(spec)),
    ...devHook(spec),
    ...userLines(given.options),
  ];
  const broken = lines.find((line) => line.includes("\n"));
  if (broken !== undefined) throw unsupported(`a line break in ${JSON.stringify(broken.slice(0, 60))}`);
  return `${lines.join("\n")}\n`;
}

/**
 * The mounts that the shim makes below the root before LXC begins. In a user namespace that the engine has made, LXC's own mounts are those
 * of the container's root, who may not walk the host's directories. In any other container LXC mounts, unless it has no words for one of
 * the mounts: then the shim makes all of them, since a later one may lie on an earlier one.
 */
export function mountedBefore(spec: OciSpec): readonly OciMount[] {
  const before = mountsBefore(spec);
  return isMapped(spec.linux ?? {}) || before.some((mount) => lacksWords(mount) !== null) ? before : [];
}

/** Whether the container is in a user namespace that was made before it. */
export const isMapped = ({ namespaces = [] }: OciLinux): boolean =>
  namespaces.some(({ type, path }) => type === "user" && path !== undefined);

/** What of a mount LXC has no words for; null: it has words for all of it. */
function lacksWords({ destination, type, source = "none", options = [], uidMappings }: OciMount): string | null {
  const unknown = options.find((option) => option === "tmpcopyup" || option === "idmap" || option === "ridmap");
  if (unknown !== undefined) return `the mount option ${unknown}`;
  if (uidMappings !== undefined) return `id maps of the mount at ${destination}`;
  if (type === "overlay") return `an overlay at ${destination}`;
  // Without mounts below it, read-only and recursively read-only are the same.
  if (options.includes("rro") && hasMountsBelow(source))
    return `a read-only mount of ${source} with all mounts below it (bind-recursive=writable leaves those as they are)`;
  return null;
}

/**
 * What the root needs before it is read-only: the working directory, and a place for each mount that is not inside of the kernel's own file
 * systems.
 */
export function mountPoints({ process, mounts = [] }: OciSpec): {
  readonly directories: readonly string[];
  readonly files: readonly string[];
} {
  const inside = mounts.filter(({ destination }) => !/^\/(dev|proc|sys)\/./.test(destination));
  const files = inside.filter((mount) => createOf(mount) === "file").map(({ destination }) => plain(destination));
  const directories = inside.filter((mount) => createOf(mount) === "dir").map(({ destination }) => plain(destination));
  return { directories: ["/dev", "/proc", "/sys", process.cwd, ...directories], files };
}

/** What a mount is mounted on. */
const createOf = ({ source = "none", options = [] }: OciMount): "file" | "dir" =>
  (options.includes("bind") || options.includes("rbind")) && !isDirectory(source) ? "file" : "dir";

/** The monitor's cgroups, which LXC leaves when the container has ended. */
export const monitorGroups = (cgroup: string): readonly string[] => [`${relative(cgroup)}.monitor`, `${relative(cgroup)}.pivot`];

/** The commands that complete the container's own /dev, below the root. Nobody can make a device node in a user namespace. */
export function devCommands({ linux, process }: OciSpec): readonly string[] {
  const own = isMapped(linux ?? {}) ? [] : nodesOf(linux ?? {});
  const nodes = own.flatMap(({ path, type, major = 0, minor = 0, fileMode, uid, gid }) => {
    const at = inRoot(path);
    const mode = ((fileMode ?? 0o666) & 0o7777).toString(8);
    const numbers = type === "p" ? "" : ` ${major} ${minor}`;
    return [
      `mkdir -p ${inRoot(dirname(path))}`,
      `rm -f ${at}`,
      `mknod -m ${mode} ${at} ${type === "u" ? "c" : type}${numbers}`,
      `chown ${uid ?? 0}:${gid ?? 0} ${at}`,
    ];
  });
  // The first terminal of the container's own file system of terminals is its first process's.
  return process.terminal === true ? [...nodes, `ln -sf /dev/pts/0 ${inRoot("/dev/console")}`] : nodes;
}

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

const nodesOf = (linux: OciLinux): readonly DeviceNode[] => (linux.devices ?? []) as readonly DeviceNode[];

/** A hook that LXC runs in the container's namespaces. Its commands are part of the line: that user may not read the engine's files. */
const hook = (name: string, commands: readonly string[]): readonly string[] =>
  commands.length === 0 ? [] : [`lxc.hook.${name} = sh -c ${quoted(["set -e", ...commands].join("; "))}`];

function devHook(spec: OciSpec): readonly string[] {
  const { linux, mounts = [] } = spec;
  const nodes = nodesOf(linux ?? {});
  // The hook runs with the host's tools before the root is the container's: a link in somebody else's directory would lead out of it.
  const foreign = mounts.map(({ destination }) => plain(destination)).filter((target) => target.startsWith("/dev/"));
  const wrong = nodes.find(
    ({ path }) =>
      !path.startsWith("/dev/") || normalize(path) !== path || foreign.some((target) => path === target || path.startsWith(`${target}/`)),
  );
  if (wrong !== undefined) throw unsupported(`the device node ${wrong.path}, which is not in the container's own /dev`);
  const bound = isMapped(linux ?? {}) ? nodes : [];
  return [
    ...bound.map(
      ({ path, hostPath = path }) => `lxc.mount.entry = ${escaped(hostPath)} ${escaped(path.slice(1))} none bind,create=file 0 0`,
    ),
    ...hook("autodev", devCommands(spec)),
  ];
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

/** LXC makes /dev with its default devices, /dev/pts and the links to descriptors by itself, where the spec asks for a /dev of its own. */
function devLines({ mounts = [] }: OciSpec): readonly string[] {
  const dev = mounts.find(({ destination }) => plain(destination) === "/dev");
  if (dev === undefined || dev.type !== "tmpfs") return ["lxc.autodev = 0"];
  const size = dev.options?.map((option) => /^size=(\d+)k$/.exec(option)?.[1]).find((found) => found !== undefined);
  return ["lxc.autodev = 1", `lxc.autodev.tmpfs.size = ${size === undefined ? 64 << 20 : Number(size) * 1024}`];
}

function mountLines({ spec, program }: Given): readonly string[] {
  const before = mountedBefore(spec);
  const entries = (spec.mounts ?? []).filter((mount) => !before.includes(mount)).flatMap((mount) => entryOf(mount));
  const own = [enterPath, ...(spec.annotations?.["io.tsbox.init"] === undefined ? [] : [initPath])];
  return [...entries, ...own.map((path) => `lxc.mount.entry = ${escaped(program)} ${escaped(path.slice(1))} none bind,ro,create=file 0 0`)];
}

function entryOf(mount: OciMount): readonly string[] {
  const { destination, type = "none", source = "none", options = [] } = mount;
  const target = plain(destination);
  if (target === "/dev" && type === "tmpfs") return [];
  if (type === "devpts" && target === "/dev/pts") return [];
  const readonly = options.includes("ro") || options.includes("rro");
  if (type === "cgroup" || type === "cgroup2") {
    if (target !== "/sys/fs/cgroup") throw unsupported(`cgroups mounted at ${target}`);
    return [`lxc.mount.auto = cgroup:${readonly ? "ro" : "rw"}:force`];
  }
  const lacking = lacksWords(mount);
  if (lacking !== null) throw unsupported(lacking);
  const isBind = options.includes("bind") || options.includes("rbind");
  // A mount that is not read-only says so, since LXC keeps the flags of the file system below.
  const flags = [...new Set(options.map((option) => (option === "rro" ? "ro" : option))), `create=${createOf(mount)}`];
  return [`lxc.mount.entry = ${escaped(source)} ${escaped(target.slice(1))} ${isBind ? "none" : type} ${flags.map(escaped).join(",")} 0 0`];
}

/**
 * Masked and read-only paths. What lies below /proc and /sys is the kernel's, and the same on the host. Of a path in the root only its
 * mount finds out whether it is a directory or a file: both forms are tried, and the wrong one is left out.
 */
function hidden({ maskedPaths, readonlyPaths }: OciLinux): readonly string[] {
  const paths = (list: unknown): readonly string[] => ((list ?? []) as readonly string[]).map(plain);
  const directory = (path: string): string => `lxc.mount.entry = tmpfs ${escaped(path.slice(1))} tmpfs ro,size=0,optional 0 0`;
  const file = (path: string): string => `lxc.mount.entry = /dev/null ${escaped(path.slice(1))} none bind,optional 0 0`;
  return [
    ...paths(readonlyPaths).map((path) => {
      const inside = escaped(path.slice(1));
      return `lxc.mount.entry = ${inside} ${inside} none rbind,ro,relative,optional 0 0`;
    }),
    ...paths(maskedPaths).flatMap((path) => {
      if (!/^\/(proc|sys)\//.test(path)) return [directory(path), file(path)];
      if (!existsSync(path)) return [];
      return [isDirectory(path) ? directory(path) : file(path)];
    }),
  ];
}

function processLines({ process }: OciSpec): readonly string[] {
  const user = (process.user ?? {}) as User;
  const { uid = 0, gid = 0, additionalGids = [], umask } = user;
  const rlimits = (process.rlimits ?? []) as readonly { readonly type: string; readonly soft: number; readonly hard: number }[];
  const apparmor = typeof process.apparmorProfile === "string" && process.apparmorProfile !== "" ? process.apparmorProfile : "unconfined";
  const environment = process.env ?? [];
  for (const field of ["ioPriority", "scheduler", "execCPUAffinity"])
    if (process[field] !== undefined && process[field] !== null) throw unsupported(`process.${field}`);
  return [
    `lxc.init.uid = ${uid}`,
    `lxc.init.gid = ${gid}`,
    ...(additionalGids.length === 0 ? [] : [`lxc.init.groups = ${additionalGids.join(",")}`]),
    `lxc.init.cwd = ${process.cwd}`,
    ...capabilityLines(process.capabilities, uid),
    ...(process.noNewPrivileges === true ? ["lxc.no_new_privs = 1"] : []),
    ...rlimits.map(({ type, soft, hard }) => `lxc.prlimit.${type.replace(/^RLIMIT_/, "").toLowerCase()} = ${limit(soft)}:${limit(hard)}`),
    ...(typeof process.oomScoreAdj === "number" ? [`lxc.proc.oom_score_adj = ${process.oomScoreAdj}`] : []),
    `lxc.apparmor.profile = ${apparmor}`,
    ...(typeof process.selinuxLabel === "string" && process.selinuxLabel !== "" ? [`lxc.selinux.context = ${process.selinuxLabel}`] : []),
    ...environment.map((pair, at) => `lxc.environment = TSBOX_ENTER_${at}=${Buffer.from(pair).toString("hex")}`),
    ...(process.terminal === true ? ["lxc.environment = TSBOX_ENTER_TERMINAL=1"] : []),
    ...(typeof umask === "number" ? [`lxc.environment = TSBOX_ENTER_UMASK=${umask.toString(8)}`] : []),
  ];
}

/** LXC sets the bounding set; root's other sets follow from it, and another user's are empty. */
function capabilityLines(raw: unknown, uid: number): readonly string[] {
  const { bounding = [], effective = bounding, inheritable = [], ambient = [] } = (raw ?? {}) as Capabilities;
  if (inheritable.length > 0) throw unsupported("process.capabilities.inheritable");
  if (ambient.length > 0) throw unsupported("process.capabilities.ambient");
  // An ordinary user has none after the change of the user, whatever the spec says.
  if (uid === 0 && (effective.length !== bounding.length || effective.some((name) => !bounding.includes(name))))
    throw unsupported("process.capabilities.effective that differ from the bounding set of root");
  const names = bounding.map((name) => name.replace(/^CAP_/, "").toLowerCase());
  return [`lxc.cap.keep = ${names.length === 0 ? "none" : names.join(" ")}`];
}

/** The spec writes the largest number for "no limit". */
const limit = (value: number): string => (value < 0 || value >= Number.MAX_SAFE_INTEGER ? "unlimited" : String(value));

const relative = (cgroup: string): string => cgroup.replace(/^\/+/, "");
const plain = (path: string): string => (path.length > 1 ? path.replace(/\/+$/, "") : path);
/** As in fstab(5). */
const escaped = (word: string): string =>
  word.replace(/[\s\\]/g, (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, "0")}`);
const inRoot = (path: string): string => `"$LXC_ROOTFS_MOUNT"${quoted(path)}`;
const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

/** Whether something is mounted below a directory of the host. */
function hasMountsBelow(source: string): boolean {
  const real = realpathSync(source);
  const below = real === "/" ? "/" : `${real}/`;
  const unescaped = (word: string): string =>
    word.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8)));
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .some((line) => unescaped(line.split(" ")[4] ?? "").startsWith(below));
}

function isDirectory(path: string): boolean {
  try {
    return lstatSync(path).isDirectory();
  } catch {
    return false;
  }
}

const unsupported = (what: string): Error => fail("Unsupported", `LXC can't express ${what}; leave it out, or use the exec driver native`);
