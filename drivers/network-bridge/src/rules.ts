/**
 * The engine's only nftables table. Its rules are written when the first network is made, and never change; networks and published ports
 * are elements of its sets and maps, so that the thousandth costs as little as the first.
 *
 *     loopback     drops packets from a bridge to 127.0.0.0/8: route_localnet, which published ports need there, would let them in
 *     prerouting   sends packets to a published port of this host to its container; output: the same for packets from this host
 *     postrouting  gives packets that leave a network the host's address; also packets that come back into their own network by a
 *                  published port, whose answers would otherwise not pass the host
 *     forward      accepts known connections, published ports, and traffic within a network; drops everything else into a network or
 *                  out of an internal one
 */
import type { FirewallElement, FirewallSet, FirewallStep, PortMap } from "@tsbox/kernel";

const bridges: FirewallSet = { set: "bridges", key: ["interface"], value: null, interval: false };
const internal: FirewallSet = { set: "internal", key: ["interface"], value: null, interval: false };
const within: FirewallSet = { set: "within", key: ["interface", "interface"], value: null, interval: false };
const subnets: FirewallSet = { set: "subnets", key: ["address"], value: null, interval: true };
const target = ["address", "port"] as const;
/** Ports that are published on every address of the host. */
const ports: FirewallSet = { set: "ports", key: ["protocol", "port"], value: target, interval: false };
/** Ports that are published on one address. */
const portsAt: FirewallSet = { set: "ports_at", key: ["protocol", "address", "port"], value: target, interval: false };
export const portMaps: readonly FirewallSet[] = [ports, portsAt];

export function tableName(engineId: string): string {
  return `tsbox-${engineId}`;
}

/** The steps may be repeated without harm. */
export function baseSteps(table: string): readonly FirewallStep[] {
  const chain = (
    name: string,
    kind: "filter" | "nat",
    hook: (FirewallStep & { step: "chain" })["hook"],
    priority: number,
  ): FirewallStep => ({
    step: "chain",
    table,
    chain: name,
    kind,
    hook,
    priority,
  });
  const rule = (
    name: string,
    verdict: (FirewallStep & { step: "rule" })["verdict"],
    ...tests: (FirewallStep & { step: "rule" })["tests"]
  ): FirewallStep => ({ step: "rule", table, chain: name, tests, verdict });
  const into = { test: "interfaceOut", set: bridges.set, not: false } as const;
  const accept = { verdict: "accept" } as const;
  const drop = { verdict: "drop" } as const;
  const masquerade = { verdict: "masquerade" } as const;
  const at = { verdict: "translate", map: portsAt.set, key: ["protocol", "address", "port"] } as const;
  const everywhere = { verdict: "translate", map: ports.set, key: ["protocol", "port"] } as const;
  return [
    { step: "table", table },
    ...[bridges, internal, within, subnets, ports, portsAt].map((set): FirewallStep => ({ step: "set", table, set })),
    // The numbers are netfilter's priorities of raw, dstnat, srcnat and filter (linux/netfilter_ipv4.h).
    chain("loopback", "filter", "prerouting", -300),
    chain("prerouting", "nat", "prerouting", -100),
    chain("output", "nat", "output", -100),
    chain("postrouting", "nat", "postrouting", 100),
    chain("forward", "filter", "forward", 0),
    rule("loopback", drop, { test: "interfaceIn", set: bridges.set, not: false }, { test: "destination", cidr: "127.0.0.0/8" }),
    ...["prerouting", "output"].flatMap((name) => [
      rule(name, at, { test: "destinationLocal" }),
      rule(name, everywhere, { test: "destinationLocal" }),
    ]),
    rule("postrouting", masquerade, { test: "sourceIn", set: subnets.set }, { ...into, not: true }),
    rule("postrouting", masquerade, { test: "sourceIn", set: subnets.set }, into, { test: "destinationTranslated" }),
    rule("postrouting", masquerade, { test: "source", cidr: "127.0.0.0/8" }, into),
    rule("forward", accept, { test: "established" }),
    rule("forward", accept, { test: "destinationTranslated" }),
    rule("forward", accept, { test: "interfacePair", set: within.set }),
    rule("forward", drop, into),
    rule("forward", drop, { test: "interfaceIn", set: internal.set, not: false }),
  ];
}

/** The keys of a network's bridge and subnets in the sets. */
export function networkKeys(
  bridge: string,
  cidrs: readonly string[],
  isInternal: boolean,
): readonly (readonly [FirewallSet, readonly string[]])[] {
  return [
    [bridges, [bridge]],
    [within, [bridge, bridge]],
    ...(isInternal ? ([[internal, [bridge]]] as const) : cidrs.map((cidr) => [subnets, [cidr]] as const)),
  ];
}

export function addKeys(table: string, keys: readonly (readonly [FirewallSet, readonly string[]])[]): readonly FirewallStep[] {
  return keys.map(([set, key]) => ({ step: "element", table, set, element: { key, value: null, comment: null } }));
}

/** Adds the keys first: deleting a missing key would fail and undo the whole transaction. */
export function deleteKeys(table: string, keys: readonly (readonly [FirewallSet, readonly string[]])[]): readonly FirewallStep[] {
  return [...addKeys(table, keys), ...keys.map(([set, key]): FirewallStep => ({ step: "deleteElement", table, set, key }))];
}

export interface PortElement {
  readonly set: FirewallSet;
  readonly element: FirewallElement;
}

/** One element for each port; `comment` is the endpoint's id. */
export function portElements(port: PortMap, address: string, comment: string): readonly PortElement[] {
  return Array.from({ length: port.count }, (_, at) => {
    const host = String(port.hostPort + at);
    const anywhere = isAnywhere(port.hostAddress);
    const key = anywhere ? [port.protocol, host] : [port.protocol, port.hostAddress, host];
    return { set: anywhere ? ports : portsAt, element: { key, value: [address, String(port.containerPort + at)], comment } };
  });
}

export function isAnywhere(address: string): boolean {
  return address === "" || address === "0.0.0.0";
}
