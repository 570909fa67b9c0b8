/** What is mounted where, by whom: by the shim before LXC begins, or by LXC. */
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { mountsBefore, type OciLinux, type OciMount, type OciSpec } from "@tsbox/kernel";
import { escaped, isDirectory, plain, unsupported } from "./words.ts";

/** Where the container finds the engine's program, below its /dev, which is a file system of its own. */
export const enterPath = "/dev/.tsbox/tsbox-enter";
export const initPath = "/dev/.tsbox/tsbox-init";

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

export function mountLines(spec: OciSpec, program: string): readonly string[] {
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
export function hiddenLines({ maskedPaths, readonlyPaths }: OciLinux): readonly string[] {
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
