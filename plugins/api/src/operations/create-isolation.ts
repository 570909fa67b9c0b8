/** Namespaces, devices and security in a create body: `HostConfig`'s modes, with Docker's checks and messages. */
import { type ContainerConfig, type DeviceMap, type DeviceRequest, fail, type Isolation, limits } from "@tsbox/kernel";
import { type Loose, list, object, strings, text, words } from "./loose.ts";

/** Bytes (__NEW_UTS_LEN). */
const longestHostname = 64;

type Isolated = Pick<
  ContainerConfig,
  | "isolation"
  | "devices"
  | "deviceRequests"
  | "deviceRules"
  | "sysctls"
  | "securityOptions"
  | "maskedPaths"
  | "readonlyPaths"
  | "cgroupParent"
  | "annotations"
  | "hostname"
  | "domainname"
>;

/** `userns`: the user namespace of containers that request none. */
export function isolatedOf(body: Loose, host: Loose, userns: "host" | "private"): Isolated {
  const network = text(host, "NetworkMode");
  const isolation = isolationOf(host, userns);
  const hostname = text(body, "Hostname");
  const domainname = text(body, "Domainname");
  for (const [what, name] of [
    ["hostname", hostname],
    ["domainname", domainname],
  ] as const)
    if (Buffer.byteLength(name) > longestHostname)
      throw fail("InvalidArgument", `invalid ${what}: ${Buffer.byteLength(name)} bytes, and Linux has ${longestHostname} at most`);
  if (isolation.uts === "host" && hostname !== "") throw fail("InvalidArgument", "conflicting options: hostname and the UTS mode");
  if (isolation.uts === "host" && domainname !== "") throw fail("InvalidArgument", "conflicting options: domainname and the UTS mode");
  if (network.startsWith("container:") && hostname !== "")
    throw fail("InvalidArgument", "conflicting options: hostname and the network mode");
  if (isolation.user !== "host" && host.Privileged === true)
    throw fail(
      "InvalidArgument",
      "privileged mode is incompatible with user namespaces. You must run the container in the host namespace when running privileged mode",
    );
  if (isolation.user !== "host" && network === "host")
    throw fail("InvalidArgument", "cannot share the host's network namespace when user namespaces are enabled");
  if (isolation.user !== "host" && isolation.pid === "host")
    throw fail("InvalidArgument", "cannot share the host PID namespace when user namespaces are enabled");
  return {
    hostname,
    domainname,
    isolation,
    devices: list(host, "Devices").map(deviceOf),
    deviceRequests: list(host, "DeviceRequests").map(requestOf),
    deviceRules: (strings(host, "DeviceCgroupRules") ?? []).map(deviceRule),
    sysctls: sysctlsOf(host, network, isolation),
    securityOptions: (strings(host, "SecurityOpt") ?? []).map(securityOption),
    maskedPaths: Array.isArray(host.MaskedPaths) ? host.MaskedPaths.map(String) : null,
    readonlyPaths: Array.isArray(host.ReadonlyPaths) ? host.ReadonlyPaths.map(String) : null,
    cgroupParent: cgroupParentOf(text(host, "CgroupParent")),
    annotations: annotationsOf(host),
  };
}

function isolationOf(host: Loose, userns: "host" | "private"): Isolation {
  const isolation = text(host, "Isolation");
  if (isolation !== "" && isolation !== "default")
    throw fail("InvalidArgument", `invalid isolation "${isolation}": Linux has only 'default'`);
  return {
    ipc: mode("IPC", text(host, "IpcMode"), ["private", "host", "shareable", "none"], true),
    pid: mode("PID", text(host, "PidMode"), ["private", "host"], true),
    uts: mode("UTS", text(host, "UTSMode"), ["private", "host"], false),
    cgroup: mode("cgroup namespace", text(host, "CgroupnsMode"), ["private", "host"], false),
    user: userMode(text(host, "UsernsMode") || userns),
    time: timeOf(object(host, "TsboxTimeOffset")),
  };
}

/** An empty mode means private, which is the default of Docker's daemon. */
function mode(called: string, asked: string, known: readonly string[], joins: boolean): string {
  if (asked === "") return "private";
  if (known.includes(asked) || (joins && /^container:./.test(asked))) return asked;
  if (asked === "container:") throw fail("InvalidArgument", `invalid ${called} mode: ${asked} needs a container's name or id`);
  throw fail("InvalidArgument", `invalid ${called} mode: ${asked}`);
}

/** Docker has "host" and its daemon's setting; `auto` is podman's word for private. */
function userMode(asked: string): string {
  if (asked === "host") return "host";
  if (asked === "private" || asked === "auto") return "private";
  if (/^container:./.test(asked)) return asked;
  throw fail("InvalidArgument", `invalid user namespace mode "${asked}": give host, private or container:NAME`);
}

/** Nanoseconds by clock; if none is set, the host's clocks. */
function timeOf(offsets: Loose): Isolation["time"] {
  const { Monotonic: monotonic = 0, Boottime: boottime = 0 } = offsets;
  // Beyond 104 days a number of nanoseconds is no longer exact, but still good enough.
  if (!Number.isInteger(monotonic) || !Number.isInteger(boottime))
    throw fail("InvalidArgument", "invalid time offset: give whole nanoseconds in Monotonic and Boottime");
  return monotonic === 0 && boottime === 0 ? null : { monotonic: monotonic as number, boottime: boottime as number };
}

function deviceOf(device: Loose): DeviceMap {
  const source = text(device, "PathOnHost");
  const access = text(device, "CgroupPermissions") || "rwm";
  const target = text(device, "PathInContainer") || source;
  if (!source.startsWith("/")) throw fail("InvalidArgument", `invalid device "${source}": give the absolute path of a node`);
  if (!target.startsWith("/")) throw fail("InvalidArgument", `invalid device "${target}": its path in the container must be absolute`);
  if (!/^[rwm]{1,3}$/.test(access)) throw fail("InvalidArgument", `invalid device mode: ${access}`);
  return { source, target, access };
}

function requestOf(request: Loose): DeviceRequest {
  const { Count: count = 0, Capabilities: capabilities } = request;
  const ids = strings(request, "DeviceIDs") ?? [];
  if (!Number.isInteger(count)) throw fail("InvalidArgument", `invalid count of a device request: ${String(count)}`);
  if (count !== 0 && ids.length > 0) throw fail("InvalidArgument", "cannot set both Count and DeviceIDs on device request");
  return {
    driver: text(request, "Driver"),
    count: count as number,
    ids,
    capabilities: Array.isArray(capabilities) ? capabilities.map((set) => (Array.isArray(set) ? set.map(String) : [])) : [],
  };
}

function deviceRule(rule: string): string {
  if (/^[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}$/.test(rule)) return rule;
  throw fail("InvalidArgument", `invalid device cgroup format '${rule}': give "TYPE MAJOR:MINOR ACCESS", as "c 10:229 rwm"`);
}

function sysctlsOf(host: Loose, network: string, isolation: Isolation): ContainerConfig["sysctls"] {
  const sysctls = words(host, "Sysctls");
  for (const name of Object.keys(sysctls)) {
    if (name.startsWith("net.") && network === "host")
      throw fail("InvalidArgument", `sysctl '${name}' not allowed in host network namespace`);
    if (/^(kernel\.(shm|msg|sem)|fs\.mqueue\.)/.test(name) && isolation.ipc === "host")
      throw fail("InvalidArgument", `sysctl '${name}' not allowed in host ipc namespace`);
  }
  return sysctls;
}

/**
 * `key=value`, or `key:value` from old clients, with Docker's keys. A seccomp profile is inline JSON here: the client has read the file.
 */
function securityOption(option: string): string {
  if (option === "no-new-privileges" || option === "disable") return option;
  const [, key = "", value = ""] = /^([a-z-]+)[=:](.*)$/s.exec(option) ?? [];
  if (key === "no-new-privileges" && (value === "true" || value === "false")) return `${key}=${value}`;
  if (key === "systempaths" && value === "unconfined") return `${key}=${value}`;
  if (key === "label" && /^(disable|(user|role|type|level|filetype):.+)$/.test(value)) return `${key}=${value}`;
  if (key === "apparmor" && value !== "") return `${key}=${value}`;
  if (key === "seccomp") return `${key}=${seccompOf(value)}`;
  throw fail("InvalidArgument", `invalid --security-opt: "${option}"`);
}

function seccompOf(value: string): string {
  if (value === "unconfined" || value === "builtin") return value;
  try {
    const profile: unknown = JSON.parse(value);
    if (typeof profile === "object" && profile !== null && !Array.isArray(profile)) return value;
  } catch {
    // The error is thrown below.
  }
  throw fail("InvalidArgument", "Decoding seccomp profile failed: give the profile itself as JSON, unconfined or builtin");
}

/** Annotations for the runtime and for hooks. A request must not set the engine's own annotations: one of them names a file. */
function annotationsOf(host: Loose): ContainerConfig["annotations"] {
  const annotations = words(host, "Annotations");
  const own = Object.keys(annotations).find((key) => key === "" || key.startsWith("io.tsbox."));
  if (own === undefined) return annotations;
  throw fail("InvalidArgument", `invalid annotation "${own}": it must have a name, and not begin with io.tsbox.`);
}

function cgroupParentOf(parent: string): string {
  const parts = parent.split("/");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the kernel refuses a line break in a cgroup's name.
  if (parent.length > limits.longestPath / 2 || parts.some((part) => part.length > limits.longestName || /[\x00-\x1f]/.test(part)))
    throw fail("InvalidArgument", "invalid cgroup parent: it is too long, or has control characters; give a path such as /my.slice");
  if (parent.split("/").includes("..")) throw fail("InvalidArgument", `invalid cgroup parent ${parent}: it must not lead out with ".."`);
  return parent;
}
