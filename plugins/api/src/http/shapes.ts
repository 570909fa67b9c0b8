/**
 * The JSON types of request bodies. Docker's daemon decodes into structs and refuses a wrong type with 400; so does this. Fields that are
 * not listed here are not checked.
 */
import { fail, type Json, limits } from "@tsbox/kernel";

/**
 * Null is allowed for any type. `integer`: a whole number that fits into 64 bits. `words`: a string, or a list of strings. A list or a map
 * has at most `limits.mostEntries` entries; `long`: as many as the body has room for.
 */
type Shape =
  | "string"
  | "integer"
  | "boolean"
  | "words"
  | { readonly list: Shape; readonly long?: true }
  | { readonly map: Shape; readonly long?: true }
  | { readonly fields: Fields };
type Fields = Readonly<Record<string, Shape>>;

const strings: Shape = { list: "string" };
/** Arguments and variables: the kernel bounds them at the start. */
const argv: Shape = { list: "string", long: true };
const labels: Shape = { map: "string" };
/** `{"/data": {}}` */
const names: Shape = { map: { fields: {} } };
/** `{"80/tcp": {}}`: a container may publish all 65,535 ports. */
const ports = (each: Shape): Shape => ({ map: each, long: true });
const all = (type: Shape, keys: string): Fields => Object.fromEntries(keys.split(" ").map((key) => [key, type]));

const device: Shape = { fields: all("string", "PathOnHost PathInContainer CgroupPermissions") };
const weights: Shape = { list: { fields: { Path: "string", Weight: "integer" } } };
const rates: Shape = { list: { fields: { Path: "string", Rate: "integer" } } };

const resources: Fields = {
  ...all(
    "integer",
    "CpuShares Memory NanoCpus BlkioWeight CpuPeriod CpuQuota CpuRealtimePeriod CpuRealtimeRuntime MemoryReservation MemorySwap MemorySwappiness PidsLimit CpuCount CpuPercent KernelMemory KernelMemoryTCP IOMaximumIOps IOMaximumBandwidth",
  ),
  ...all("string", "CgroupParent CpusetCpus CpusetMems"),
  ...all(rates, "BlkioDeviceReadBps BlkioDeviceWriteBps BlkioDeviceReadIOps BlkioDeviceWriteIOps"),
  BlkioWeightDevice: weights,
  OomKillDisable: "boolean",
  Devices: { list: device },
  DeviceCgroupRules: strings,
  DeviceRequests: {
    list: { fields: { Driver: "string", Count: "integer", DeviceIDs: strings, Capabilities: { list: strings }, Options: labels } },
  },
  Ulimits: { list: { fields: { Name: "string", Hard: "integer", Soft: "integer" } } },
  RestartPolicy: { fields: { Name: "string", MaximumRetryCount: "integer" } },
};

const mount: Shape = {
  fields: {
    ...all("string", "Type Source Target Consistency"),
    ReadOnly: "boolean",
    BindOptions: {
      fields: {
        Propagation: "string",
        ...all("boolean", "NonRecursive CreateMountpoint ReadOnlyNonRecursive ReadOnlyForceRecursive"),
      },
    },
    VolumeOptions: {
      fields: { NoCopy: "boolean", Labels: labels, Subpath: "string", DriverConfig: { fields: { Name: "string", Options: labels } } },
    },
    ImageOptions: { fields: { Subpath: "string" } },
    TmpfsOptions: { fields: { SizeBytes: "integer", Mode: "integer", Options: { list: strings } } },
  },
};

const host: Fields = {
  ...resources,
  ...all("string", "NetworkMode IpcMode Cgroup PidMode UTSMode UsernsMode Runtime Isolation VolumeDriver ContainerIDFile CgroupnsMode"),
  ...all("string", "TsboxStorage TsboxExec TsboxOnUnhealthy"),
  ...all("boolean", "Privileged PublishAllPorts ReadonlyRootfs AutoRemove Init"),
  ...all("integer", "ShmSize OomScoreAdj"),
  ...all(strings, "Binds Dns DnsOptions DnsSearch ExtraHosts GroupAdd Links SecurityOpt VolumesFrom MaskedPaths ReadonlyPaths"),
  ...all("words", "CapAdd CapDrop"),
  ...all(labels, "StorageOpt Tmpfs Sysctls Annotations"),
  ConsoleSize: { list: "integer" },
  LxcConf: { list: { fields: all("string", "Key Value") } },
  LogConfig: { fields: { Type: "string", Config: labels } },
  Mounts: { list: mount },
  PortBindings: ports({ list: { fields: all("string", "HostIp HostPort") } }),
  TsboxHugepages: { map: "integer" },
  TsboxTimeOffset: { fields: all("integer", "Monotonic Boottime") },
};

const endpoint: Shape = {
  fields: {
    ...all("string", "NetworkID EndpointID Gateway IPAddress MacAddress IPv6Gateway GlobalIPv6Address"),
    ...all("integer", "IPPrefixLen GlobalIPv6PrefixLen GwPriority"),
    ...all(strings, "Links Aliases DNSNames"),
    DriverOpts: labels,
    IPAMConfig: { fields: { ...all("string", "IPv4Address IPv6Address"), LinkLocalIPs: strings } },
  },
};

const container: Fields = {
  ...all("string", "Hostname Domainname User Image WorkingDir MacAddress StopSignal"),
  ...all("boolean", "AttachStdin AttachStdout AttachStderr Tty OpenStdin StdinOnce ArgsEscaped NetworkDisabled"),
  ...all("words", "Cmd Entrypoint Shell"),
  Env: argv,
  OnBuild: strings,
  Volumes: names,
  ExposedPorts: ports({ fields: {} }),
  Labels: labels,
  StopTimeout: "integer",
  Healthcheck: { fields: { Test: strings, ...all("integer", "Interval Timeout StartPeriod StartInterval Retries") } },
};

/** The fields of each kind of body. */
type Kind = "container" | "commit" | "update" | "exec" | "exec start" | "network" | "endpoint" | "volume";
const bodies: Readonly<Record<Kind, Fields>> = {
  container: {
    ...container,
    HostConfig: { fields: host },
    NetworkingConfig: { fields: { EndpointsConfig: { map: endpoint } } },
  },
  commit: container,
  update: resources,
  exec: {
    ...all("string", "User WorkingDir DetachKeys"),
    ...all("boolean", "AttachStdin AttachStdout AttachStderr Tty Privileged Detach"),
    Cmd: argv,
    Env: argv,
    ConsoleSize: { list: "integer" },
    TsboxTools: "string",
  },
  "exec start": { ...all("boolean", "Detach Tty"), ConsoleSize: { list: "integer" } },
  network: {
    ...all("string", "Name Driver Scope"),
    ...all("boolean", "Internal Attachable Ingress ConfigOnly EnableIPv4 EnableIPv6 CheckDuplicate"),
    IPAM: {
      fields: {
        Driver: "string",
        Options: labels,
        Config: { list: { fields: { ...all("string", "Subnet IPRange Gateway"), AuxiliaryAddresses: labels } } },
      },
    },
    Options: labels,
    Labels: labels,
  },
  endpoint: { Container: "string", Force: "boolean", EndpointConfig: endpoint },
  volume: { ...all("string", "Name Driver"), DriverOpts: labels, Labels: labels },
};

/** A body whose type is not JSON. Only a route that needs JSON refuses it, as in Docker. */
export class ForeignBody {
  readonly type: string;
  constructor(type: string) {
    this.type = type;
  }
}

/**
 * The body, if all its fields have Docker's types. `InvalidArgument` names the field and its wrong type. A missing body is refused, unless
 * `missing` says what it stands for.
 */
export function checked(body: unknown, kind: Kind, missing?: Json): Json {
  if (body instanceof ForeignBody)
    throw fail("InvalidArgument", `unsupported Content-Type header (${body.type.slice(0, 100)}): send the body as application/json`);
  const given = body ?? missing;
  if (typeof given !== "object" || given === null || Array.isArray(given))
    throw fail("InvalidArgument", "the request's body is no JSON object: send the config as one");
  check(given, { fields: bodies[kind] }, "");
  return given as Json;
}

function check(value: unknown, shape: Shape, path: string): void {
  if (value === null || value === undefined) return;
  if (shape === "words") {
    if (typeof value === "string") checkString(value, path);
    else check(value, argv, path);
  } else if (shape === "string") {
    if (typeof value !== "string") throw wrong(value, shape, path);
    checkString(value, path);
  } else if (shape === "integer") {
    if (typeof value !== "number") throw wrong(value, shape, path);
    if (!Number.isInteger(value) || Math.abs(value) >= 2 ** 63)
      throw fail("InvalidArgument", `invalid ${JSON.stringify(path.slice(0, 100))}: ${value} is no whole number of 64 bits`);
  } else if (shape === "boolean") {
    if (typeof value !== "boolean") throw wrong(value, shape, path);
  } else if ("list" in shape) {
    if (!Array.isArray(value)) throw wrong(value, "list", path);
    checkCount(value.length, shape, path);
    for (const [at, item] of value.entries()) {
      // Docker takes a null in a list for an empty value, which is not valid in any list here.
      if (item === null) throw wrong(item, "value", `${path}[${at}]`);
      check(item, shape.list, `${path}[${at}]`);
    }
  } else {
    if (typeof value !== "object" || Array.isArray(value)) throw wrong(value, "object", path);
    const entries = Object.entries(value);
    if ("map" in shape) checkCount(entries.length, shape, path);
    for (const [key, item] of entries) {
      if ("map" in shape) checkString(key, path);
      const inner = "map" in shape ? shape.map : Object.hasOwn(shape.fields, key) ? shape.fields[key] : undefined;
      if (inner !== undefined) check(item, inner, path === "" ? key : `${path}.${key}`);
    }
  }
}

/** Text of a request becomes arguments, paths and names, and none of these can have a zero byte, or half a UTF-16 character. */
function checkString(value: string, path: string): void {
  const wrong = value.includes("\0") ? "a zero byte" : value.isWellFormed() ? null : "half a character (a lone surrogate)";
  if (wrong !== null) throw fail("InvalidArgument", `invalid ${JSON.stringify(path.slice(0, 100))}: it has ${wrong}`);
}

function checkCount(count: number, { long = false }: { readonly long?: boolean }, path: string): void {
  if (long || count <= limits.mostEntries) return;
  throw fail("InvalidArgument", `invalid ${JSON.stringify(path.slice(0, 100))}: ${count} entries, ${limits.mostEntries} at most`);
}

function wrong(value: unknown, wanted: string, path: string): Error {
  const is = value === null ? "null" : Array.isArray(value) ? "a list" : typeof value === "object" ? "an object" : `a ${typeof value}`;
  return fail(
    "InvalidArgument",
    `invalid JSON: ${JSON.stringify(path.slice(0, 100))} is ${is}, not ${/^[aeiou]/.test(wanted) ? "an" : "a"} ${wanted}`,
  );
}
