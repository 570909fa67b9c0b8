/** `run` and `create`: make a container from flags. */
import { existsSync, writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { resolve } from "node:path";
import type { ApiService, Json } from "@tsbox/kernel";
import { CommandError } from "../command-error.ts";
import { environmentFile, environmentOf, labelFile, userFile } from "../environment.ts";
import { type FlagSpecs, type Parsed, parseFlags } from "../flags.ts";
import { healthBody, healthFlags } from "../health.ts";
import { type Command, type Io, warningText } from "../io.ts";
import { mountBody, mountFlags } from "../mounts.ts";
import { restartBody, restartFlags } from "../restart.ts";
import { count } from "../units.ts";
import { imageOf, pullFlags, withImage } from "./pull.ts";
import { ignored, isolationFlags, isolationOf, limitFlags, limitsOf, namesProfile } from "./run-flags.ts";
import { detachFlag, keysOf, needTerminal, proxies, signalProxyFlag } from "./sessions.ts";

const flags: FlagSpecs = {
  interactive: { short: "i", kind: "bool", help: "Keep STDIN open even if not attached" },
  tty: { short: "t", kind: "bool", help: "Allocate a pseudo-TTY" },
  detach: { short: "d", kind: "bool", help: "Run container in background and print container ID" },
  rm: { kind: "bool", help: "Automatically remove the container and its files when it exits" },
  name: { kind: "text", help: "Assign a name to the container" },
  env: { short: "e", kind: "list", help: "Set environment variables" },
  "env-file": { kind: "list", help: "Read in a file of environment variables" },
  workdir: { short: "w", kind: "text", help: "Working directory inside the container" },
  user: { short: "u", kind: "text", help: "Username or UID (format: <name|uid>[:<group|gid>])" },
  entrypoint: { kind: "text", help: "Overwrite the default ENTRYPOINT of the image" },
  hostname: { short: "h", kind: "text", help: "Container host name" },
  domainname: { kind: "text", help: "Container NIS domain name" },
  ...mountFlags,
  ...restartFlags,
  ...healthFlags,
  "read-only": { kind: "bool", help: "Mount the container's root filesystem as read only" },
  net: { kind: "text", help: "Connect a container to a network (same as --network)" },
  network: { kind: "text", help: "Connect a container to a network: bridge, none, host or a name" },
  publish: { short: "p", kind: "list", help: "Publish a container's port(s) to the host: [[IP:]HOSTPORT:]PORT[/PROTOCOL]" },
  label: { short: "l", kind: "list", help: "Set meta data on a container" },
  "label-file": { kind: "list", help: "Read in a line delimited file of labels" },
  cidfile: { kind: "text", help: "Write the container ID to the file" },
  "publish-all": { short: "P", kind: "bool", help: "Publish all exposed ports to random ports" },
  ip: { kind: "text", help: "IPv4 address (e.g., 172.30.100.104)" },
  "mac-address": { kind: "text", help: "Container MAC address (e.g., 92:d0:c6:0a:29:33)" },
  expose: { kind: "list", help: "Expose a port or a range of ports" },
  "add-host": { kind: "list", help: "Add a custom host-to-IP mapping (host:ip)" },
  dns: { kind: "list", help: "Set custom DNS servers" },
  "dns-search": { kind: "list", help: "Set custom DNS search domains" },
  "dns-option": { kind: "list", help: "Set DNS options" },
  "dns-opt": { kind: "list", help: "The same as --dns-option" },
  "stop-signal": { kind: "text", help: "Signal to stop the container" },
  "stop-timeout": { kind: "text", value: "int", help: "Timeout (in seconds) to stop a container" },
  "log-driver": {
    kind: "text",
    help: "Logging driver for the container: local, json-file, none, journald, syslog, fluentd or an installed one",
  },
  "log-opt": { kind: "list", help: "Log driver options: max-size, max-file" },
  platform: { kind: "text", help: "Set platform if the image is multi-platform: OS/ARCH[/VARIANT]" },
  "disable-content-trust": { kind: "bool", help: "Skip image verification (default true)" },
  ...pullFlags,
  attach: { short: "a", kind: "list", help: "Attach to STDIN, STDOUT or STDERR" },
  "detach-keys": detachFlag,
  "sig-proxy": signalProxyFlag,
  storage: { kind: "text", help: "Storage driver of this container, other than the host's default" },
  exec: { kind: "text", help: "Exec driver of this container, other than the host's default" },
  ...limitFlags,
  ...isolationFlags,
  timings: { kind: "bool", help: "Print to standard error where the time of the start went" },
};

export const run: Command = {
  name: "run",
  usage: "run [OPTIONS] IMAGE [COMMAND] [ARG...]",
  about: "Create and run a new container from an image",
  aliases: ["container run"],
  flags,
  ownWords: true,
  runs: true,
  words: [1, Number.POSITIVE_INFINITY],
  local: needsUserFiles,
  async run(io, api, parsed) {
    const begun = performance.now();
    const { tty, detach, removed } = wishes(parsed);
    const streams = attachedTo(parsed);
    const detachKeys = keysOf(io, parsed, streams.stdin && tty && !detach);
    if (!detach) needTerminal(io, streams.stdin, tty);
    const id = await make(io, api, parsed, true);
    const created = performance.now();
    if (detach) {
      try {
        const { timings, warnings } = await api.containerStart(io.call, id, {});
        await io.err(warningText(warnings));
        await printTimings(io, parsed, [["create", created - begun], ...timings]);
      } finally {
        // Also when the start fails, as in Docker: the container is there.
        await io.out(`${id}\n`);
      }
      return 0;
    }
    const attached = { ...streams, terminal: tty, signalProxy: proxies(parsed), removed, detachKeys };
    const { code, timings } = await io.session.runAttached(api, id, attached);
    await printTimings(io, parsed, [["create", created - begun], ...timings]);
    // Detaching with the detach keys is a success.
    return code ?? 0;
  },
};

export const create: Command = {
  name: "create",
  usage: "create [OPTIONS] IMAGE [COMMAND] [ARG...]",
  about: "Create a new container",
  aliases: ["container create"],
  flags,
  ownWords: true,
  words: [1, Number.POSITIVE_INFINITY],
  local: needsUserFiles,
  async run(io, api, parsed) {
    await io.out(`${await make(io, api, parsed, false)}\n`);
    return 0;
  },
};

/** Resolvers ignore the lines of other things than addresses. */
function nameServer(address: string): string {
  if (isIP(address) !== 0) return address;
  throw new CommandError(125, `invalid argument "${address}" for "--dns" flag: IP address is not correctly formatted: ${address}`);
}

/** The user's own process must read and write the files that the user names. */
function needsUserFiles(words: readonly string[]): boolean {
  let parsed: Parsed;
  try {
    parsed = parseFlags("run", words, flags, false);
  } catch {
    // The command itself reports the error.
    return false;
  }
  return ["env-file", "label-file", "cidfile"].some((flag) => parsed.given(flag)) || parsed.list("security-opt").some(namesProfile);
}

function wishes(parsed: Parsed): { tty: boolean; interactive: boolean; detach: boolean; removed: boolean } {
  return { tty: parsed.bool("tty"), interactive: parsed.bool("interactive"), detach: parsed.bool("detach"), removed: parsed.bool("rm") };
}

/** `-a` names the streams. Without it, they are the output, and the input with -i. */
function attachedTo(parsed: Parsed): { readonly stdin: boolean; readonly stdout: boolean; readonly stderr: boolean } {
  const { detach, interactive } = wishes(parsed);
  const named = parsed.list("attach").map((name) => name.toLowerCase());
  const unknown = named.find((name) => !["stdin", "stdout", "stderr"].includes(name));
  if (unknown !== undefined)
    throw new CommandError(125, `invalid argument "${unknown}" for "-a, --attach" flag: valid streams are STDIN, STDOUT and STDERR`);
  if (detach && named.length > 0) throw new CommandError(125, "Conflicting options: -a and -d");
  if (detach) return { stdin: false, stdout: false, stderr: false };
  if (named.length === 0) return { stdin: interactive, stdout: true, stderr: true };
  return { stdin: named.includes("stdin") && interactive, stdout: named.includes("stdout"), stderr: named.includes("stderr") };
}

/**
 * Creates the container; a missing image is pulled first. Answers the id, after it is written to the user's file. `starting`: the caller
 * starts the container next.
 */
async function make(io: Io, api: ApiService, parsed: Parsed, starting: boolean): Promise<string> {
  const notes = ignored(parsed);
  const file = parsed.text("cidfile");
  const path = file === null ? null : resolve(io.workingDirectory, file);
  if (path !== null && existsSync(path))
    throw new CommandError(125, `container ID file found, make sure the other container isn't running or delete ${file}`);
  // The id in a file is visible to others, so the container must be durable first.
  const { Id, Warnings } = await made(io, api, parsed, starting && path === null);
  if (path !== null) writeFileSync(path, Id, { flag: "wx", mode: 0o644 });
  await io.err(warningText([...Warnings, ...notes]));
  return Id;
}

async function made(io: Io, api: ApiService, parsed: Parsed, starting: boolean): ReturnType<ApiService["containerCreate"]> {
  const body = createBody(io, parsed);
  const image = parsed.words[0] ?? "";
  const name = parsed.text("name");
  const platform = parsed.text("platform");
  const options = { ...(name === null ? {} : { name }), ...(platform === null ? {} : { platform }), starting };
  return withImage(io, api, image, { parsed, platform }, () => api.containerCreate(io.call, body, options));
}

export function createBody(io: Pick<Io, "environment" | "workingDirectory">, parsed: Parsed): Json {
  const { tty, interactive, detach, removed } = wishes(parsed);
  const [image, ...command] = parsed.words;
  const entrypoint = parsed.text("entrypoint");
  const streams = attachedTo(parsed);
  const ports = parsed.list("publish").flatMap(publish);
  const mounts = mountBody(parsed, io.workingDirectory);
  const { HostConfig: onUnhealthy, ...health } = healthBody(parsed);
  return {
    Image: imageOf(io, image ?? ""),
    Cmd: command.length > 0 ? command : null,
    Entrypoint: entrypoint === null ? null : [entrypoint],
    Env: [...parsed.list("env-file").flatMap((path) => environmentFile(io, path)), ...environmentOf(io, parsed.list("env"))],
    WorkingDir: parsed.text("workdir") ?? "",
    User: parsed.text("user") ?? "",
    Hostname: parsed.text("hostname") ?? "",
    Domainname: parsed.text("domainname") ?? "",
    Tty: tty,
    OpenStdin: interactive,
    StdinOnce: interactive && !detach,
    AttachStdin: streams.stdin,
    AttachStdout: streams.stdout,
    AttachStderr: streams.stderr,
    Labels: Object.fromEntries([...parsed.list("label-file").flatMap((path) => labelFile(io, path)), ...parsed.list("label")].map(pairOf)),
    ...(parsed.text("stop-signal") === null ? {} : { StopSignal: parsed.text("stop-signal") }),
    ...(parsed.text("stop-timeout") === null ? {} : { StopTimeout: count("stop-timeout", parsed.text("stop-timeout") ?? "") }),
    ExposedPorts: Object.fromEntries([...parsed.list("expose").flatMap(exposed), ...ports.map(([port]) => port)].map((port) => [port, {}])),
    Volumes: mounts.Volumes,
    ...health,
    ...networking(parsed),
    HostConfig: {
      AutoRemove: removed,
      NetworkMode: parsed.text("network") ?? parsed.text("net") ?? "default",
      PortBindings: bindings(ports),
      PublishAllPorts: parsed.bool("publish-all"),
      ...mounts.HostConfig,
      ...restartBody(parsed),
      ...onUnhealthy,
      ReadonlyRootfs: parsed.bool("read-only"),
      ...limitsOf(parsed),
      ...isolationOf(parsed, (path) => userFile(io, path)),
      ExtraHosts: parsed.list("add-host"),
      Dns: parsed.list("dns").map(nameServer),
      DnsSearch: parsed.list("dns-search"),
      DnsOptions: [...parsed.list("dns-option"), ...parsed.list("dns-opt")],
      LogConfig: {
        Type: parsed.text("log-driver") ?? "",
        Config: Object.fromEntries(parsed.list("log-opt").map((option) => pairOf(option))),
      },
      TsboxStorage: parsed.text("storage") ?? "",
      TsboxExec: parsed.text("exec") ?? "",
    },
  };
}

/** Docker's object for the options of one network. */
function networking(parsed: Parsed): Json {
  const [address, mac] = [parsed.text("ip"), parsed.text("mac-address")];
  if (address === null && mac === null) return {};
  const network = parsed.text("network") ?? parsed.text("net") ?? "default";
  const endpoint = { IPAMConfig: address === null ? null : { IPv4Address: address }, MacAddress: mac ?? "" };
  return { NetworkingConfig: { EndpointsConfig: { [network]: endpoint } } };
}

const splitOnce = (text: string, at: string): readonly [string, string] => {
  const index = text.indexOf(at);
  return index < 0 ? [text, ""] : [text.slice(0, index), text.slice(index + 1)];
};
const pairOf = (text: string): readonly [string, string] => splitOnce(text, "=");

type Published = readonly [port: string, binding: { readonly HostIp: string; readonly HostPort: string }];

/** `80`, `8080:80`, `127.0.0.1:8080:80/udp`, `8000-8010:80-90`, `[::1]:80:80`. */
export function publish(text: string): readonly Published[] {
  const wrong = (): CommandError =>
    new CommandError(
      125,
      `invalid argument "${text}" for "-p, --publish" flag: invalid publish specification: give [[IP:]HOSTPORT:]PORT[/PROTOCOL]`,
    );
  const match = /^(?:(?:(\[[^\]]+\]|[\d.]+):)?(\d*(?:-\d+)?):)?(\d+(?:-\d+)?)(?:\/(tcp|udp|sctp))?$/.exec(text);
  if (!match) throw wrong();
  const [, address = "", host = "", container = "", protocol = "tcp"] = match;
  const [first, last] = range(container);
  const [hostFirst, hostLast] = host === "" ? [0, 0] : range(host);
  const many = last - first;
  if (last > 65535 || hostLast > 65535 || many < 0 || (host !== "" && hostLast - hostFirst !== many && !(many === 0))) throw wrong();
  return Array.from({ length: many + 1 }, (_, at) => [
    `${first + at}/${protocol}`,
    { HostIp: address.replace(/^\[|\]$/g, ""), HostPort: host === "" ? "" : String(hostFirst + at) },
  ]);
}

const range = (text: string): readonly [number, number] => {
  const [first = "0", last = first] = text.split("-");
  return [Number(first), Number(last)];
};

function exposed(text: string): readonly string[] {
  const [ports = "", protocol = "tcp"] = text.split("/");
  const [first, last] = range(ports);
  if (!/^\d+(-\d+)?$/.test(ports) || last < first) throw new CommandError(125, `invalid port format for --expose: ${text}`);
  return Array.from({ length: last - first + 1 }, (_, at) => `${first + at}/${protocol}`);
}

function bindings(ports: readonly Published[]): Json {
  const map: Record<string, Published[1][]> = {};
  for (const [port, binding] of ports) map[port] = [...(map[port] ?? []), binding];
  return map;
}

async function printTimings(io: Io, parsed: Parsed, timings: readonly (readonly [string, number])[]): Promise<void> {
  if (!parsed.bool("timings")) return;
  const width = Math.max(...timings.map(([name]) => name.length));
  await io.err(timings.map(([name, time]) => `${name.padEnd(width)}  ${time.toFixed(2).padStart(8)} ms\n`).join(""));
}
