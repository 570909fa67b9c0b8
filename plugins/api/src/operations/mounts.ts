/** Converts Docker's Binds, Mounts, Tmpfs, Volumes and VolumesFrom to the engine's requests. Error messages are Docker's. */
import {
  type BindRequest,
  fail,
  type ImageRequest,
  type Json,
  type MountPoint,
  type MountRequest,
  type Propagation,
  type ReadOnlyDepth,
  type Strings,
  type TmpfsRequest,
  type VolumeRequest,
  type VolumesFrom,
} from "@tsbox/kernel";

type Loose = { readonly [key: string]: unknown };

const text = (from: Loose, key: string): string => (typeof from[key] === "string" ? from[key] : "");
const flag = (from: Loose, key: string): boolean => from[key] === true;
const object = (from: Loose, key: string): Loose => (typeof from[key] === "object" && from[key] !== null ? (from[key] as Loose) : {});
const list = (from: Loose, key: string): readonly unknown[] => (Array.isArray(from[key]) ? from[key] : []);
const invalid = (what: string): Error => fail("InvalidArgument", what);

const propagations: readonly string[] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

export interface AskedMounts {
  readonly mounts: readonly MountRequest[];
  readonly volumesFrom: readonly VolumesFrom[];
  /** Targets of anonymous volumes, if nothing else is mounted there. */
  readonly volumes: readonly string[];
}

export function parseMounts(body: Json, host: Loose): AskedMounts {
  // The driver of volumes that are not requested by `Mounts`, whose entries name their own driver.
  const driver = text(host, "VolumeDriver") || null;
  const withDriver = (request: MountRequest): MountRequest => (request.kind === "volume" ? { ...request, driver } : request);
  return {
    mounts: [
      ...list(host, "Binds").map((bind) => withDriver(parseBind(String(bind)))),
      ...list(host, "Mounts").map((mount) => parseMount(mount as Loose)),
      ...Object.entries(object(host, "Tmpfs")).map(([target, options]) => plainTmpfs(target, String(options))),
    ],
    volumesFrom: list(host, "VolumesFrom").map((from) => parseVolumesFrom(String(from))),
    volumes: Object.keys(object(body, "Volumes")).map((target) => cleanPath(target, `invalid volume specification: '${target}'`)),
  };
}

/** An absolute path without dots, doubled slashes, or a slash at the end. `/` itself can't be a mount's target. */
function cleanPath(path: string, wrong: string): string {
  if (!path.startsWith("/")) throw invalid(`${wrong}: invalid mount path: '${path}' mount path must be absolute`);
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  if (parts.length === 0) throw invalid(`${wrong}: invalid specification: destination can't be '/'`);
  return `/${parts.join("/")}`;
}

/** `SOURCE:TARGET[:MODE]`, or a target alone; a source that is not a path is a volume's name. */
export function parseBind(bind: string): BindRequest | VolumeRequest {
  const specification = `invalid volume specification: '${bind}'`;
  const parts = bind.split(":");
  const [first = "", second, mode = ""] = parts;
  if (parts.length > 3 || first === "" || second === "") throw invalid(specification);
  const bound = first.startsWith("/");
  const wrong = `${specification}: invalid mount config for type "${bound && second !== undefined ? "bind" : "volume"}"`;
  const words = mode.split(",").filter((word) => word !== "");
  const readOnly = words.includes("ro");
  if (second === undefined) return volume({ name: null, target: cleanPath(first, wrong), readOnly: false, mode: "", copy: true });
  const target = cleanPath(second, wrong);
  const known = bound
    ? /^(ro|rw|z|Z|consistent|cached|delegated|default|r?(shared|slave|private))$/
    : /^(ro|rw|z|Z|nocopy|consistent|cached|delegated|default)$/;
  const groups = [/^r[ow]$/, /^[zZ]$/, /^r?(shared|slave|private)$/, /^nocopy$/, /^(consistent|cached|delegated|default)$/];
  if (words.some((word) => !known.test(word)) || groups.some((group) => words.filter((word) => group.test(word)).length > 1))
    throw invalid(`invalid mode: ${mode}`);
  if (!bound) return volume({ name: first, target, readOnly, mode: mode === "" ? "z" : mode, copy: !words.includes("nocopy") });
  return {
    kind: "bind",
    source: cleanSource(first),
    target,
    readOnly,
    propagation: (words.find((word) => propagations.includes(word)) as Propagation | undefined) ?? null,
    recursive: true,
    readOnlyDepth: "as-far-as-possible",
    createSource: true,
    mode,
  };
}

const cleanSource = (path: string): string => path.replace(/\/+/g, "/").replace(/(.)\/$/, "$1");

const volume = (given: Pick<VolumeRequest, "name" | "target" | "readOnly" | "mode" | "copy">): VolumeRequest => ({
  kind: "volume",
  driver: null,
  options: {},
  labels: {},
  subpath: "",
  ...given,
});

function parseMount(mount: Loose): MountRequest {
  const type = text(mount, "Type");
  const wrong = (why: string): Error => invalid(`invalid mount config for type "${type}": ${why}`);
  const reader = readers[type];
  if (reader === undefined) throw fail("InvalidArgument", `mount type unknown: "${type}"; there are bind, volume, tmpfs and image`);
  if (text(mount, "Target") === "") throw wrong("field Target must not be empty");
  for (const [options, owner] of optionsOf)
    if (owner !== type && mount[options] !== undefined && mount[options] !== null) throw wrong(`field ${options} must not be specified`);
  return reader({ mount, wrong, target: cleanPath(text(mount, "Target"), `invalid mount config for type "${type}"`) });
}

const optionsOf = [
  ["BindOptions", "bind"],
  ["VolumeOptions", "volume"],
  ["TmpfsOptions", "tmpfs"],
  ["ImageOptions", "image"],
] as const;

interface Reading {
  readonly mount: Loose;
  readonly target: string;
  wrong(why: string): Error;
}

const readers: Readonly<Record<string, (reading: Reading) => MountRequest>> = {
  bind({ mount, target, wrong }): BindRequest {
    const source = text(mount, "Source");
    if (source === "") throw wrong("field Source must not be empty");
    if (!source.startsWith("/")) throw wrong(`invalid mount path: '${source}' mount path must be absolute`);
    const options = object(mount, "BindOptions");
    const propagation = text(options, "Propagation");
    if (propagation !== "" && !propagations.includes(propagation)) throw wrong(`invalid propagation mode: ${propagation}`);
    const top = flag(options, "ReadOnlyNonRecursive");
    const all = flag(options, "ReadOnlyForceRecursive");
    if (top && all) throw wrong("mount options conflict: ReadOnlyNonRecursive && ReadOnlyForceRecursive");
    return {
      kind: "bind",
      source: cleanSource(source),
      target,
      readOnly: flag(mount, "ReadOnly"),
      propagation: propagation === "" ? null : (propagation as Propagation),
      recursive: !flag(options, "NonRecursive"),
      readOnlyDepth: ((): ReadOnlyDepth => (top ? "top" : all ? "all" : "as-far-as-possible"))(),
      createSource: flag(options, "CreateMountpoint"),
      mode: "",
    };
  },
  volume({ mount, target, wrong }): VolumeRequest {
    const options = object(mount, "VolumeOptions");
    const driver = object(options, "DriverConfig");
    const name = text(mount, "Source") || null;
    const subpath = local(text(options, "Subpath"), wrong);
    const readOnly = flag(mount, "ReadOnly");
    if (name === null && readOnly) throw wrong("must not set ReadOnly mode when using anonymous volumes");
    if (name === null && subpath !== "") throw wrong("must not set Subpath when using anonymous volumes");
    return {
      kind: "volume",
      target,
      readOnly,
      name,
      driver: text(driver, "Name") || null,
      options: object(driver, "Options") as Strings,
      labels: object(options, "Labels") as Strings,
      copy: !flag(options, "NoCopy"),
      subpath,
      mode: "z",
    };
  },
  tmpfs({ mount, target, wrong }): TmpfsRequest {
    if (text(mount, "Source") !== "") throw wrong("field Source must not be specified");
    const options = object(mount, "TmpfsOptions");
    const size = Number(options.SizeBytes ?? 0);
    const mode = Number(options.Mode ?? 0);
    if (!Number.isSafeInteger(size) || size < 0) throw wrong(`invalid tmpfs size: ${String(options.SizeBytes)}`);
    const further = list(options, "Options").map((option) => (Array.isArray(option) ? option.map(String).join("=") : String(option)));
    const unknown = further.find((option) => option !== "exec" && option !== "noexec");
    if (unknown !== undefined) throw wrong(`invalid option: ${unknown}`);
    return {
      kind: "tmpfs",
      target,
      readOnly: flag(mount, "ReadOnly"),
      options: [
        ...(size > 0 ? [`size=${size}`] : []),
        // Docker's mode; the kernel's default for tmpfs is 1777 too.
        ...(mode > 0 ? [`mode=${(mode & 0o7777).toString(8)}`] : []),
        ...further,
      ],
      plain: false,
    };
  },
  image({ mount, target, wrong }): ImageRequest {
    const reference = text(mount, "Source");
    if (reference === "") throw wrong("field Source must not be empty");
    const subpath = local(text(object(mount, "ImageOptions"), "Subpath"), wrong);
    return { kind: "image", target, readOnly: true, reference, subpath };
  },
};

/** Checks that the path stays inside the volume by its text: not absolute, and no `..` above it. The runtime resolves links. */
function local(path: string, wrong: (why: string) => Error): string {
  let depth = 0;
  for (const part of path.split("/")) {
    depth += part === ".." ? -1 : part === "" || part === "." ? 0 : 1;
    if (depth < 0 || path.startsWith("/")) throw wrong("subpath must be a relative path within the volume");
  }
  return path;
}

/** The options of tmpfs(5) and mount(8) that a tmpfs accepts. */
const tmpfsOption =
  /^(size=\d+[kmg%]?|nr_blocks=\d+[kmg]?|nr_inodes=\d+[kmg]?|mode=[0-7]{1,4}|uid=\d+|gid=\d+|mpol=\S+|huge=\w+|r[ow]|(no)?(exec|suid|dev|atime|diratime)|(no)?(relatime|strictatime)|r?(shared|slave|private|unbindable)|defaults|a?sync)$/;

function plainTmpfs(target: string, options: string): TmpfsRequest {
  const words = options.split(",").filter((word) => word !== "");
  const unknown = words.find((word) => !tmpfsOption.test(word));
  if (unknown !== undefined) throw invalid(`invalid tmpfs option ["${unknown}"]: see tmpfs(5)`);
  return {
    kind: "tmpfs",
    target: cleanPath(target, `invalid tmpfs mount '${target}'`),
    readOnly: false,
    options: words.filter((word) => word !== "async" && word !== "sync" && word !== "defaults"),
    plain: true,
  };
}

/** `CONTAINER[:ro|rw|z|Z]` */
function parseVolumesFrom(from: string): VolumesFrom {
  const at = from.indexOf(":");
  const mode = at < 0 ? "" : from.slice(at + 1);
  const container = at < 0 ? from : from.slice(0, at);
  if (container === "") throw invalid(`malformed volumes-from specification: ${from}`);
  const words = mode.split(",").filter((word) => word !== "");
  if (words.some((word) => !/^(ro|rw|z|Z)$/.test(word))) throw invalid(`invalid mode for volumes-from: ${mode}`);
  return { container, readOnly: words.includes("ro") ? true : words.includes("rw") ? false : null };
}

/** `Mounts` in inspect and in the list. */
export function showMounts(points: readonly MountPoint[]): readonly Json[] {
  return points.flatMap((point): readonly Json[] => {
    const place = { Destination: point.target };
    const rights = { Mode: "mode" in point ? point.mode : "", RW: !point.readOnly };
    switch (point.kind) {
      case "bind":
        return [{ Type: "bind", Source: point.source, ...place, ...rights, Propagation: point.propagation }];
      case "volume":
        return [{ Type: "volume", Name: point.name, Source: point.source, ...place, Driver: point.driver, ...rights, Propagation: "" }];
      case "image":
        return [{ Type: "image", Source: point.reference, ...place, ...rights, Propagation: "" }];
      default:
        return point.plain ? [] : [{ Type: "tmpfs", Source: "", ...place, ...rights, Propagation: "" }];
    }
  });
}
