/**
 * Converts Docker's create body to the engine's config. Docker's zero-value rules are all here: "", 0, null and a missing field mean the
 * default, with few exceptions.
 */
import { isIP, isIPv6 } from "node:net";
import { type ContainerConfig, fail, type Json, type NetworkWish, type PortMap } from "@tsbox/kernel";
import { isolatedOf } from "./create-isolation.ts";
import { groupsOf, oomScoreOf, quotaOf, resourcesOf, shmSizeOf, ulimitsOf } from "./create-limits.ts";
import { parseHealth } from "./health.ts";
import { logOf } from "./log-options.ts";
import { amount, flag, type Loose, object, strings, text } from "./loose.ts";
import { parseMounts } from "./mounts.ts";
import { parseRestart } from "./restart.ts";

/** `userns`: the user namespace of containers that request none. */
export function parseCreate(body: Json, platform: string | null, userns: "host" | "private" = "host"): ContainerConfig {
  const host = object(body, "HostConfig");
  const image = text(body, "Image");
  if (image === "") throw fail("InvalidArgument", "no image: give one in Image");
  refuseUnmet(host);
  return {
    image,
    entrypoint: argv(body, "Entrypoint"),
    command: emptyAsNull(argv(body, "Cmd")),
    env: (strings(body, "Env") ?? []).map(variable),
    workingDirectory: absolute(text(body, "WorkingDir")),
    user: text(body, "User"),
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
    exec: text(host, "TsboxExec") || runtimeOf(text(host, "Runtime")),
    network: networkOf(text(host, "NetworkMode")),
    ports: portsOf(object(host, "PortBindings")),
    publishAll: flag(host, "PublishAllPorts"),
    ...endpointOf(body, networkOf(text(host, "NetworkMode"))),
    networks: furtherNetworks(body, networkOf(text(host, "NetworkMode"))),
    extraHosts: (strings(host, "ExtraHosts") ?? []).map(extraHost),
    dns: { servers: strings(host, "Dns") ?? [], search: strings(host, "DnsSearch") ?? [], options: strings(host, "DnsOptions") ?? [] },
    ...parseMounts(body, host),
    readOnlyRoot: flag(host, "ReadonlyRootfs"),
    privileged: flag(host, "Privileged"),
    capAdd: strings(host, "CapAdd") ?? [],
    capDrop: strings(host, "CapDrop") ?? [],
    ...isolatedOf(body, host, userns),
    groupAdd: groupsOf(host),
    ulimits: ulimitsOf(host),
    oomScoreAdj: oomScoreOf(host),
    quotaBytes: quotaOf(host),
    resources: resourcesOf(host),
    shmSize: shmSizeOf(host),
    init: flag(host, "Init"),
    formatOptions: formatOptionsOf(host),
    restart: parseRestart(host),
    ...parseHealth(body, host),
    log: logOf(object(host, "LogConfig")),
    raw: { config: body, hostConfig: host },
  };
}

/** Docker's `LxcConf`, up to API version 1.21: lines of LXC's configuration. */
function formatOptionsOf(host: Loose): ContainerConfig["formatOptions"] {
  const lines = (host.LxcConf ?? []) as readonly { readonly Key?: string | null; readonly Value?: string | null }[];
  return lines.map(({ Key, Value }) => ({ key: (Key ?? "").trim(), value: (Value ?? "").trim() }));
}

/** What would have no effect, and the user would miss. */
function refuseUnmet(host: Loose): void {
  for (const key of ["IOMaximumIOps", "IOMaximumBandwidth"])
    if (amount(host, key) !== null) throw fail("InvalidArgument", `Invalid QoS settings: Linux does not support ${key}`);
}

/** Unlike in other lists, an empty string is a word: `--entrypoint ""` removes the image's. */
const argv = (body: Json, key: string): readonly string[] | null => (body[key] === "" ? [""] : strings(body, key));

function variable(pair: string): string {
  if (pair !== "" && !pair.startsWith("=")) return pair;
  throw fail("InvalidArgument", `invalid environment variable: ${pair}: give NAME=VALUE`);
}

/** `NAME:ADDRESS`, or `NAME=ADDRESS`; `host-gateway` stands for the host's address. */
function extraHost(entry: string): string {
  const [, name = "", address = ""] = /^([^:=\s]+)[:=](.*)$/s.exec(entry) ?? [];
  if (name === "") throw fail("InvalidArgument", `bad format for add-host: "${entry}": give NAME:ADDRESS`);
  if (address !== "host-gateway" && isIP(address.replace(/^\[(.*)\]$/, "$1")) === 0)
    throw fail("InvalidArgument", `invalid IP address in add-host: "${address}"`);
  return entry;
}

const emptyAsNull = (list: readonly string[] | null): readonly string[] | null => (list?.length === 0 ? null : list);

function absolute(path: string): string {
  if (path === "" || path.startsWith("/")) return path;
  throw fail("InvalidArgument", `the working directory '${path}' is invalid, it needs to be an absolute path`);
}

function networkOf(mode: string): string {
  if (mode === "" || mode === "default") return "bridge";
  if (mode === "container:") throw fail("InvalidArgument", "invalid container format container:<name|id>");
  return mode;
}

/** Docker's runtime as an exec driver; Docker's names for its default runtime mean this engine's default. */
function runtimeOf(runtime: string): string | null {
  return runtime === "" || runtime === "runc" || runtime === "io.containerd.runc.v2" ? null : runtime;
}

/** The address and MAC that the user requests in the container's network. */
function endpointOf(body: Json, network: string): Pick<ContainerConfig, "address" | "mac"> {
  const endpoints = object(object(body, "NetworkingConfig"), "EndpointsConfig");
  const endpoint = object(endpoints, network in endpoints ? network : (Object.keys(endpoints)[0] ?? ""));
  const address = text(object(endpoint, "IPAMConfig"), "IPv4Address");
  const mac = text(endpoint, "MacAddress") || text(body, "MacAddress");
  if (address !== "" && !/^\d{1,3}(\.\d{1,3}){3}$/.test(address)) throw fail("InvalidArgument", `invalid IPv4 address: ${address}`);
  const address6 = text(object(endpoint, "IPAMConfig"), "IPv6Address");
  if (address6 !== "" && !isIPv6(address6)) throw fail("InvalidArgument", `invalid IPv6 address: ${address6}`);
  if (mac !== "" && !/^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i.test(mac)) throw fail("InvalidArgument", `invalid MAC address: ${mac}`);
  return { address: address || null, mac: mac === "" ? null : mac.replaceAll("-", ":").toLowerCase() };
}

/** The networks besides the network mode. If there is only one, under another name, it belongs to the network mode (`endpointOf`). */
function furtherNetworks(body: Json, network: string): readonly NetworkWish[] {
  const endpoints = object(object(body, "NetworkingConfig"), "EndpointsConfig");
  if (!(network in endpoints) && Object.keys(endpoints).length === 1) return [];
  return Object.keys(endpoints)
    .filter((name) => name !== network && name !== "default")
    .map((name) => ({ network: name, ...endpointOf({ NetworkingConfig: { EndpointsConfig: { [name]: endpoints[name] } } }, name) }));
}

/** `{"80/tcp": [{HostIp, HostPort: "8080"}]}`; an empty port means any free port. */
function portsOf(bindings: Loose): readonly PortMap[] {
  return Object.entries(bindings).flatMap(([key, list]) => {
    const [port = "", protocol = "tcp"] = key.split("/");
    protocolOf(protocol);
    portNumber(port);
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
