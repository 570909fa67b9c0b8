/** What a plugin answers to ADD, of every version of CNI: interfaces, addresses, routes, nameservers. */
import { isIP } from "node:net";
import { type Attachment, fail } from "@tsbox/kernel";

/** Addresses, routes and nameservers of one answer. */
const most = 256;

type Json = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value);

export function attachmentOf(result: unknown, name: string, plugin: string): Omit<Attachment, "ports"> {
  const wrong = (text: string): Error =>
    fail("FailedPrecondition", `the CNI plugin ${plugin} answered ${text}; it is broken, or of another version`);
  if (!isObject(result)) throw wrong("no JSON object");
  const list = (value: unknown, what: string): readonly Json[] => {
    const items: unknown = value ?? [];
    if (!Array.isArray(items) || items.length > most || !items.every(isObject)) throw wrong(`no list of ${what}`);
    return items;
  };
  const address = (value: unknown): string => {
    if (typeof value !== "string" || isIP(value) === 0) throw wrong(`${JSON.stringify(value)} as an address`);
    return value;
  };
  const cidr = (value: unknown): string => {
    const [bare = "", length = "", ...rest] = String(value).split("/");
    const family = isIP(bare);
    if (family === 0 || rest.length > 0 || !/^\d{1,3}$/.test(length) || Number(length) > (family === 4 ? 32 : 128))
      throw wrong(`${JSON.stringify(value)} as an address with a prefix length`);
    return `${bare}/${Number(length)}`;
  };
  // Until CNI 0.2.0 there is one address of each family.
  const old = [result.ip4, result.ip6].filter(isObject);
  const ips = [
    ...list(result.ips, "addresses").map((ip) => ({ address: ip.address, gateway: ip.gateway })),
    ...old.map((ip) => ({ address: ip.ip, gateway: ip.gateway })),
  ];
  const routes = [...list(result.routes, "routes"), ...old.flatMap((ip) => list(ip.routes, "routes"))];
  const nameservers: unknown = isObject(result.dns) ? (result.dns.nameservers ?? []) : [];
  if (!Array.isArray(nameservers) || nameservers.length > most) throw wrong("no list of nameservers");
  const own = list(result.interfaces, "interfaces").find((one) => one.name === name && one.sandbox !== undefined && one.sandbox !== "");
  const mac = typeof own?.mac === "string" && /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(own.mac) ? own.mac.toLowerCase() : "";
  const gateway = ips.find((ip) => ip.gateway !== undefined && ip.gateway !== "")?.gateway;
  return {
    addresses: ips.map((ip) => cidr(ip.address)),
    mac,
    routes: routes.map((route) => ({ to: cidr(route.dst), via: route.gw === undefined || route.gw === "" ? null : address(route.gw) })),
    gateway: gateway === undefined ? null : address(gateway),
    nameservers: nameservers.map(address),
  };
}
