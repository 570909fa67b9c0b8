/**
 * The JSON types of request bodies. Docker's daemon decodes into structs and refuses a wrong type with 400; so does this. Fields that are
 * not listed here are not checked.
 */
import { fail, type Json } from "@tsbox/kernel";

/** Null is allowed for any type. `words`: a string, or a list of strings. */
type Shape = "string" | "number" | "boolean" | "words" | { readonly list: Shape } | { readonly map: Shape } | { readonly fields: Fields };
type Fields = Readonly<Record<string, Shape>>;

const strings: Shape = { list: "string" };
const labels: Shape = { map: "string" };
/** `{"80/tcp": {}}` */
const names: Shape = { map: { fields: {} } };
const all = (type: Shape, keys: string): Fields => Object.fromEntries(keys.split(" ").map((key) => [key, type]));

const device: Shape = { fields: all("string", "PathOnHost PathInContainer CgroupPermissions") };
const weights: Shape = { list: { fields: { Path: "string", Weight: "number" } } };
const rates: Shape = { list: { fields: { Path: "string", Rate: "number" } } };

const resources: Fields = {
  ...all(
    "number",
    "CpuShares Memory NanoCpus BlkioWeight CpuPeriod CpuQuota CpuRealtimePeriod CpuRealtimeRuntime MemoryReservation MemorySwap MemorySwappiness PidsLimit CpuCount CpuPercent KernelMemory",
  ),
  ...all("string", "CgroupParent CpusetCpus CpusetMems"),
  ...all(rates, "BlkioDeviceReadBps BlkioDeviceWriteBps BlkioDeviceReadIOps BlkioDeviceWriteIOps"),
  BlkioWeightDevice: weights,
  OomKillDisable: "boolean",
  Devices: { list: device },
  DeviceCgroupRules: strings,
  DeviceRequests: {
    list: { fields: { Driver: "string", Count: "number", DeviceIDs: strings, Capabilities: { list: strings }, Options: labels } },
  },
  Ulimits: { list: { fields: { Name: "string", Hard: "number", Soft: "number" } } },
  RestartPolicy: { fields: { Name: "string", MaximumRetryCount: "number" } },
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
    TmpfsOptions: { fields: { SizeBytes: "number", Mode: "number", Options: { list: strings } } },
  },
};

const host: Fields = {
  ...resources,
  ...all("string", "NetworkMode IpcMode Cgroup PidMode UTSMode UsernsMode Runtime Isolation VolumeDriver ContainerIDFile CgroupnsMode"),
  ...all("boolean", "Privileged PublishAllPorts ReadonlyRootfs AutoRemove Init"),
  ...all("number", "ShmSize OomScoreAdj"),
  ...all(strings, "Binds Dns DnsOptions DnsSearch ExtraHosts GroupAdd Links SecurityOpt VolumesFrom MaskedPaths ReadonlyPaths"),
  ...all("words", "CapAdd CapDrop"),
  ...all(labels, "StorageOpt Tmpfs Sysctls Annotations"),
  ConsoleSize: { list: "number" },
  LogConfig: { fields: { Type: "string", Config: labels } },
  Mounts: { list: mount },
  PortBindings: { map: { list: { fields: all("string", "HostIp HostPort") } } },
};

const endpoint: Shape = {
  fields: {
    ...all("string", "NetworkID EndpointID Gateway IPAddress MacAddress IPv6Gateway GlobalIPv6Address"),
    ...all(strings, "Links Aliases DNSNames"),
    DriverOpts: labels,
    IPAMConfig: { fields: { ...all("string", "IPv4Address IPv6Address"), LinkLocalIPs: strings } },
  },
};

const container: Fields = {
  ...all("string", "Hostname Domainname User Image WorkingDir MacAddress StopSignal"),
  ...all("boolean", "AttachStdin AttachStdout AttachStderr Tty OpenStdin StdinOnce ArgsEscaped NetworkDisabled"),
  ...all("words", "Cmd Entrypoint Shell"),
  ...all(strings, "Env OnBuild"),
  ...all(names, "ExposedPorts Volumes"),
  Labels: labels,
  StopTimeout: "number",
  Healthcheck: { fields: { Test: strings, ...all("number", "Interval Timeout StartPeriod StartInterval Retries") } },
};

/** The fields of each kind of body. */
type Kind = "container" | "commit" | "update" | "exec" | "network" | "endpoint" | "volume";
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
    Cmd: strings,
    Env: strings,
    ConsoleSize: { list: "number" },
  },
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

/** The body, if all its fields have Docker's types. `InvalidArgument` names the field and its wrong type. */
export function checked(body: Json, kind: Kind): Json {
  if (typeof body !== "object" || body === null || Array.isArray(body))
    throw fail("InvalidArgument", "the request's body is no JSON object");
  check(body, { fields: bodies[kind] }, "");
  return body;
}

function check(value: unknown, shape: Shape, path: string): void {
  if (value === null || value === undefined) return;
  if (shape === "words") {
    if (typeof value !== "string") check(value, strings, path);
  } else if (typeof shape === "string") {
    if (typeof value !== shape) throw wrong(value, shape, path);
  } else if ("list" in shape) {
    if (!Array.isArray(value)) throw wrong(value, "list", path);
    for (const [at, item] of value.entries()) {
      // Docker takes a null in a list for an empty value, which is not valid in any list here.
      if (item === null) throw wrong(item, "value", `${path}[${at}]`);
      check(item, shape.list, `${path}[${at}]`);
    }
  } else {
    if (typeof value !== "object" || Array.isArray(value)) throw wrong(value, "object", path);
    for (const [key, item] of Object.entries(value)) {
      const inner = "map" in shape ? shape.map : Object.hasOwn(shape.fields, key) ? shape.fields[key] : undefined;
      if (inner !== undefined) check(item, inner, path === "" ? key : `${path}.${key}`);
    }
  }
}

function wrong(value: unknown, wanted: string, path: string): Error {
  const is = value === null ? "null" : Array.isArray(value) ? "a list" : typeof value === "object" ? "an object" : `a ${typeof value}`;
  return fail(
    "InvalidArgument",
    `invalid JSON: ${JSON.stringify(path.slice(0, 100))} is ${is}, not ${/^[aeiou]/.test(wanted) ? "an" : "a"} ${wanted}`,
  );
}
