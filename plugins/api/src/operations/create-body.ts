/** Docker's create body → what the engine knows. All of Docker's zero-value rules are here: "" and 0 and null and absent mean the default, except where they don't. */
import { type ContainerConfig, fail, type Json, type PortMap, type Resources } from "@tsbox/kernel";
import { parseMounts } from "./mounts.ts";
import { parseRestart } from "./restart.ts";

type Loose = { readonly [key: string]: unknown };

const text = (from: Loose, key: string): string => (typeof from[key] === "string" ? from[key] : "");
const flag = (from: Loose, key: string): boolean => from[key] === true;
const object = (from: Loose, key: string): Loose => (typeof from[key] === "object" && from[key] !== null ? (from[key] as Loose) : {});
const strings = (from: Loose, key: string): readonly string[] | null => {
  const value = from[key];
  if (value === undefined || value === null || value === "") return null;
  // Docker takes a bare string where a list is meant.
  return Array.isArray(value) ? value.map(String) : [String(value)];
};
/** Numbers: 0 is "not asked for". */
const amount = (from: Loose, key: string): number | null => (typeof from[key] === "number" && from[key] !== 0 ? from[key] : null);
const smallestMemory = 6 << 20;

export function parseCreate(body: Json, platform: string | null): ContainerConfig {
  const host = object(body, "HostConfig");
  const image = text(body, "Image");
  if (image === "") throw fail("InvalidArgument", "no image: give one in Image");
  const log = object(host, "LogConfig");
  return {
    image,
    entrypoint: strings(body, "Entrypoint"),
    command: emptyAsNull(strings(body, "Cmd")),
    env: strings(body, "Env") ?? [],
    workingDirectory: absolute(text(body, "WorkingDir")),
    user: text(body, "User"),
    hostname: text(body, "Hostname"),
    domainname: text(body, "Domainname"),
    terminal: flag(body, "Tty"),
    openStdin: flag(body, "OpenStdin"),
    stdinOnce: flag(body, "StdinOnce"),
    attach: { stdin: flag(body, "AttachStdin"), stdout: flag(body, "AttachStdout"), stderr: flag(body, "AttachStderr") },
    labels: object(body, "Labels") as Readonly<Record<string, string>>,
    stopSignal: text(body, "StopSignal"),
    stopTimeout: typeof body.StopTimeout === "number" ? body.StopTimeout : 10,
    exposedPorts: Object.keys(object(body, "ExposedPorts")),
    autoRemove: flag(host, "AutoRemove"),
    platform,
    storage: text(host, "TsboxStorage") || null,
    exec: text(host, "TsboxExec") || null,
    network: networkOf(text(host, "NetworkMode")),
    ports: portsOf(object(host, "PortBindings")),
    extraHosts: strings(host, "ExtraHosts") ?? [],
    dns: { servers: strings(host, "Dns") ?? [], search: strings(host, "DnsSearch") ?? [], options: strings(host, "DnsOptions") ?? [] },
    ...parseMounts(body, host),
    readOnlyRoot: flag(host, "ReadonlyRootfs"),
    privileged: flag(host, "Privileged"),
    capAdd: strings(host, "CapAdd") ?? [],
    capDrop: strings(host, "CapDrop") ?? [],
    securityOptions: strings(host, "SecurityOpt") ?? [],
    resources: resourcesOf(host),
    shmSize: amount(host, "ShmSize") ?? 64 << 20,
    init: flag(host, "Init"),
    restart: parseRestart(host),
    log: { driver: logDriver(text(log, "Type")), options: object(log, "Config") as Readonly<Record<string, string>> },
    raw: { config: body, hostConfig: host },
  };
}

const emptyAsNull = (list: readonly string[] | null): readonly string[] | null => (list?.length === 0 ? null : list);

function absolute(path: string): string {
  if (path === "" || path.startsWith("/")) return path;
  throw fail("InvalidArgument", `the working directory '${path}' is invalid, it needs to be an absolute path`);
}

function networkOf(mode: string): string {
  if (mode === "" || mode === "default") return "bridge";
  if (mode.startsWith("container:"))
    throw fail("Unsupported", `network ${mode}: this engine does not share another container's network yet; use a network of both`);
  return mode;
}

function logDriver(type: string): "local" | "json-file" | "none" {
  if (type === "") return "local";
  if (type === "local" || type === "json-file" || type === "none") return type;
  throw fail("InvalidArgument", `logger: no log driver named '${type}' is registered; there are local, json-file and none`);
}

function resourcesOf(host: Loose): Resources {
  const memory = amount(host, "Memory");
  if (memory !== null && memory < smallestMemory) throw fail("InvalidArgument", "Minimum memory limit allowed is 6MB");
  const swap = amount(host, "MemorySwap");
  if (memory !== null && swap !== null && swap !== -1 && swap < memory)
    throw fail("InvalidArgument", "Minimum memoryswap limit should be larger than memory limit, see usage");
  const nanoCpus = amount(host, "NanoCpus");
  const period = nanoCpus === null ? amount(host, "CpuPeriod") : 100_000;
  return {
    memory,
    memorySwap: swap,
    memoryReservation: amount(host, "MemoryReservation"),
    cpuShares: amount(host, "CpuShares"),
    cpuQuota: nanoCpus === null ? amount(host, "CpuQuota") : Math.round(nanoCpus / 10_000),
    cpuPeriod: period,
    cpusetCpus: text(host, "CpusetCpus") || null,
    cpusetMems: text(host, "CpusetMems") || null,
    pids: amount(host, "PidsLimit"),
  };
}

/** `{"80/tcp": [{HostIp, HostPort: "8080"}]}`; a port of "" is any free one. */
function portsOf(bindings: Loose): readonly PortMap[] {
  return Object.entries(bindings).flatMap(([key, list]) => {
    const [port = "", protocol = "tcp"] = key.split("/");
    return ((list as readonly Loose[] | null) ?? []).map((binding): PortMap => {
      const hostPort = text(binding, "HostPort");
      return {
        protocol: protocolOf(protocol),
        hostAddress: text(binding, "HostIp") || "0.0.0.0",
        hostPort: hostPort === "" ? 0 : portNumber(hostPort),
        containerPort: portNumber(port),
        count: 1,
      };
    });
  });
}

function protocolOf(word: string): PortMap["protocol"] {
  if (word === "tcp" || word === "udp" || word === "sctp") return word;
  throw fail("InvalidArgument", `invalid proto: ${word}`);
}

function portNumber(word: string): number {
  const port = Number(word);
  if (/^\d+$/.test(word) && port <= 65535) return port;
  throw fail("InvalidArgument", `invalid port specification: "${word}"`);
}
