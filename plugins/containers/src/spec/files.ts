/**
 * /etc/hostname, /etc/hosts and /etc/resolv.conf of a container, written anew at each start. They are in its directory on disk, because the
 * container may fill them and the state directory is memory.
 */
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ContainerConfig, EndpointRecord } from "@tsbox/kernel";

const fallbackServers = ["8.8.8.8", "8.8.4.4"];

const names = ["hostname", "hosts", "resolv.conf"] as const;

/** The target and the file of each; the files need not exist yet. */
export function filesOf(directory: string): readonly (readonly [string, string])[] {
  return names.map((name) => [`/etc/${name}`, join(directory, name)] as const);
}

/** Creates empty files that can be mounted before their content is known. */
export function makeFiles(directory: string): void {
  for (const name of names) closeSync(openSync(join(directory, name), "w"));
}

/** Writes the files in place, because they may be mounted. A container in the host's network gets the host's own content. */
export function writeFiles(
  directory: string,
  config: ContainerConfig,
  hostname: string,
  endpoints: readonly EndpointRecord[],
  hostNetwork: boolean,
): void {
  const texts: Readonly<Record<(typeof names)[number], string>> = {
    hostname: `${hostname}\n`,
    hosts: hostNetwork ? hostFile("/etc/hosts") : hosts(config, hostname, endpoints),
    "resolv.conf": hostNetwork && !asksForDns(config) ? hostFile("/etc/resolv.conf") : resolvConf(config, endpoints),
  };
  for (const name of names) writeFileSync(join(directory, name), texts[name]);
}

function hosts(config: ContainerConfig, hostname: string, endpoints: readonly EndpointRecord[]): string {
  const lines = [
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::\tip6-localnet",
    "ff00::\tip6-mcastprefix",
    "ff02::1\tip6-allnodes",
    "ff02::2\tip6-allrouters",
  ];
  const gateway = endpoints.find((endpoint) => endpoint.gateway !== null)?.gateway;
  for (const entry of config.extraHosts) {
    const at = entry.search(/[:=]/);
    const address = entry.slice(at + 1);
    lines.push(`${address === "host-gateway" ? (gateway ?? "127.0.0.1") : address}\t${entry.slice(0, at)}`);
  }
  const name = hostNames(hostname, config.domainname);
  for (const endpoint of endpoints) for (const address of endpoint.attachment.addresses) lines.push(`${address.split("/")[0]}\t${name}`);
  return `${lines.join("\n")}\n`;
}

/** The full name, and the short one if it differs: the domain may be part of the hostname. */
export function hostNames(hostname: string, domainname: string): string {
  const full = domainname === "" ? hostname : `${hostname}.${domainname}`;
  const [short = ""] = full.split(".", 1);
  return short === full ? full : `${full} ${short}`;
}

function asksForDns(config: ContainerConfig): boolean {
  return config.dns.servers.length + config.dns.search.length + config.dns.options.length > 0;
}

/**
 * The user's servers, else those of the networks, else the host's without its loopback addresses, which a container can't reach, else
 * Docker's fallback.
 */
function resolvConf(config: ContainerConfig, endpoints: readonly EndpointRecord[]): string {
  const host = hostFile("/etc/resolv.conf")
    .split("\n")
    .map((line) => line.trim().split(/\s+/));
  const words = (key: string): readonly string[] => host.filter(([first]) => first === key).flatMap(([, ...rest]) => rest);
  const own = endpoints.flatMap((endpoint) => endpoint.attachment.nameservers);
  const usable = words("nameserver").filter((server) => !server.startsWith("127.") && server !== "::1");
  const servers = [config.dns.servers, own, usable, fallbackServers].find((list) => list.length > 0) ?? fallbackServers;
  const search = config.dns.search.length > 0 ? config.dns.search : words("search");
  const options = config.dns.options.length > 0 ? config.dns.options : words("options");
  return [
    ...servers.map((server) => `nameserver ${server}`),
    ...(search.length > 0 && search[0] !== "." ? [`search ${search.join(" ")}`] : []),
    ...(options.length > 0 ? [`options ${options.join(" ")}`] : []),
    "",
  ].join("\n");
}

function hostFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
