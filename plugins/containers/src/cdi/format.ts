/**
 * Parses a CDI spec file (Container Device Interface, github.com/cncf-tags/container-device-interface, SPEC.md). It describes the devices
 * of one vendor and class, and what a container needs to use each. The host's administrator writes these files, yet they are validated: an
 * invalid file is reported by its name, and the other files still count.
 */

/** An OCI hook, with the stage at which it runs. */
export interface CdiHook {
  readonly hookName: string;
  readonly path: string;
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly timeout: number | null;
}
export interface CdiNode {
  readonly path: string;
  readonly hostPath: string;
  /** Null: type and numbers are those of the host's node. */
  readonly type: "b" | "c" | "u" | "p" | null;
  readonly major: number | null;
  readonly minor: number | null;
  readonly fileMode: number | null;
  readonly permissions: string;
  readonly uid: number | null;
  readonly gid: number | null;
}
export interface CdiMount {
  readonly hostPath: string;
  readonly containerPath: string;
  readonly type: string | null;
  readonly options: readonly string[];
}
export interface CdiEdits {
  readonly env: readonly string[];
  readonly deviceNodes: readonly CdiNode[];
  readonly mounts: readonly CdiMount[];
  readonly hooks: readonly CdiHook[];
  readonly additionalGids: readonly number[];
}
export interface CdiSpec {
  /** `vendor.com/class` */
  readonly kind: string;
  readonly devices: ReadonlyMap<string, CdiEdits>;
  /** Applied with any of the devices. */
  readonly edits: CdiEdits;
}

type Loose = Readonly<Record<string, unknown>>;

/** `nvidia.com/gpu=all`: vendor, class and name in the specification's syntax. */
const kindPattern = /^[A-Za-z](?:[\w.-]*[A-Za-z0-9])?\/[A-Za-z](?:[\w-]*[A-Za-z0-9])?$/;
const namePattern = /^[A-Za-z0-9](?:[\w.:-]*[A-Za-z0-9])?$/;

/** Errors are plain: `registry.ts` puts the file's name before them. */
export function parseSpec(value: unknown): CdiSpec {
  const spec = object(value, "a CDI spec");
  if (!/^v?(0\.[3-8]|1\.[01])\.0$/.test(text(spec.cdiVersion, "cdiVersion")))
    throw new Error(`cdiVersion ${JSON.stringify(spec.cdiVersion)} is none that is known: 0.3.0 to 1.1.0`);
  const kind = text(spec.kind, "kind");
  if (!kindPattern.test(kind)) throw new Error(`kind "${kind}" is not VENDOR/CLASS`);
  const devices = new Map<string, CdiEdits>();
  for (const one of list(spec.devices, "devices").map((device) => object(device, "a device"))) {
    const name = text(one.name, "name of a device");
    if (!namePattern.test(name)) throw new Error(`invalid device name "${name}"`);
    if (devices.has(name)) throw new Error(`device "${name}" is there twice`);
    devices.set(name, edits(one.containerEdits));
  }
  if (devices.size === 0) throw new Error("it has no devices");
  return { kind, devices, edits: edits(spec.containerEdits) };
}

function edits(value: unknown): CdiEdits {
  const found = value === undefined || value === null ? {} : object(value, "containerEdits");
  // These keys are refused, not ignored: the device may be useless without them.
  for (const key of ["intelRdt", "netDevices"])
    if (found[key] !== undefined && found[key] !== null) throw new Error(`${key} of containerEdits is not supported`);
  return {
    env: texts(found.env, "env").map((pair) => {
      if (!/^[^=]+=/.test(pair)) throw new Error(`invalid environment variable "${pair}"`);
      return pair;
    }),
    deviceNodes: list(found.deviceNodes, "deviceNodes").map((one) => node(object(one, "a device node"))),
    mounts: list(found.mounts, "mounts").map((one) => mount(object(one, "a mount"))),
    hooks: list(found.hooks, "hooks").map((one) => hook(object(one, "a hook"))),
    additionalGids: list(found.additionalGids, "additionalGids").map((gid) => number(gid, "additionalGids") ?? 0),
  };
}

function node(one: Loose): CdiNode {
  const path = absolute(one.path, "path of a device node");
  const type = optional(one.type, "type of a device node");
  if (type !== null && !/^[bcup]$/.test(type)) throw new Error(`invalid device type "${type}" of ${path}`);
  const permissions = optional(one.permissions, "permissions") ?? "rwm";
  if (!/^[rwm]{1,3}$/.test(permissions)) throw new Error(`invalid permissions "${permissions}" of ${path}`);
  return {
    path,
    hostPath: one.hostPath === undefined || one.hostPath === "" ? path : absolute(one.hostPath, "hostPath"),
    type: type as CdiNode["type"],
    major: number(one.major, "major"),
    minor: number(one.minor, "minor"),
    fileMode: number(one.fileMode, "fileMode"),
    permissions,
    uid: number(one.uid, "uid"),
    gid: number(one.gid, "gid"),
  };
}

const mount = (one: Loose): CdiMount => ({
  hostPath: text(one.hostPath, "hostPath of a mount"),
  containerPath: absolute(one.containerPath, "containerPath"),
  type: optional(one.type, "type of a mount"),
  options: texts(one.options, "options"),
});

/**
 * The hooks that this engine runs. The other two of the runtime specification, poststart and poststop, run after a start and after an end,
 * when no caller waits for them.
 */
const hookNames = ["prestart", "createRuntime", "createContainer", "startContainer"];

function hook(one: Loose): CdiHook {
  const hookName = text(one.hookName, "hookName");
  if (!hookNames.includes(hookName)) throw new Error(`hook ${hookName} is not supported: ${hookNames.join(", ")} are`);
  const path = absolute(one.path, "path of a hook");
  return { hookName, path, args: texts(one.args, "args"), env: texts(one.env, "env"), timeout: number(one.timeout, "timeout") };
}

function object(value: unknown, what: string): Loose {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Loose;
  throw new Error(`${what} is no mapping`);
}
function list(value: unknown, what: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value;
  throw new Error(`${what} is no list`);
}
const texts = (value: unknown, what: string): readonly string[] => list(value, what).map((one) => text(one, what));
function text(value: unknown, what: string): string {
  if (typeof value === "string" && value !== "") return value;
  throw new Error(`${what} is missing, or no text`);
}
const optional = (value: unknown, what: string): string | null =>
  value === undefined || value === null || value === "" ? null : text(value, what);
function number(value: unknown, what: string): number | null {
  if (value === undefined || value === null) return null;
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  throw new Error(`${what} is no number`);
}
function absolute(value: unknown, what: string): string {
  const path = text(value, what);
  if (path.startsWith("/")) return path;
  throw new Error(`${what} "${path}" is not absolute`);
}
