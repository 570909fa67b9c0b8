/**
 * The engine's one nftables table. Its rules are written when the first network is made and never change; networks and published ports are
 * elements of its sets and maps, so that the thousandth costs what the first did.
 *
 *     loopback     what comes from a bridge for 127.0.0.0/8 is dropped: route_localnet, which published ports need there, would let it in
 *     prerouting   what comes for a published port of this host goes to its container; output: what this host sends there, too
 *     postrouting  what leaves a network gets the host's address; so does what comes back into one by a published port, or the answer
 *                  would miss the host
 *     forward      known connections and published ports pass, traffic within a network passes; nothing else goes into a network, nor
 *                  out of an internal one
 */
import type { FirewallElement, FirewallSet, FirewallStep, PortMap } from "@tsbox/kernel";

const bridges: FirewallSet = { set: "bridges", key: ["interface"], value: null, interval: false };
const internal: FirewallSet = { set: "internal", key: ["interface"], value: null, interval: false };
const within: FirewallSet = { set: "within", key: ["interface", "interface"], value: null, interval: false };
const subnets: FirewallSet = { set: "subnets", key: ["address"], value: null, interval: true };
const target = ["address", "port"] as const;
/** Published on every address of the host. */
const ports: FirewallSet = { set: "ports", key: ["protocol", "port"], value: target, interval: false };
/** Published on one. */
const portsAt: FirewallSet = { set: "ports_at", key: ["protocol", "address", "port"], value: target, interval: false };
export const portMaps: readonly FirewallSet[] = [ports, portsAt];

export function tableName(engineId: string): string {
  return `tsbox-${engineId}`;
}

/** Harmless where it has been done before. */
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
    // The numbers are netfilter's places for raw, dstnat, srcnat and filter (linux/netfilter_ipv4.h).
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

/** Under which keys a network's bridge and subnets are known. */
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

/** Added first: what is not there can't be deleted, and would undo the rest. */
export function deleteKeys(table: string, keys: readonly (readonly [FirewallSet, readonly string[]])[]): readonly FirewallStep[] {
  return [...addKeys(table, keys), ...keys.map(([set, key]): FirewallStep => ({ step: "deleteElement", table, set, key }))];
}

export interface PortElement {
  readonly set: FirewallSet;
  readonly element: FirewallElement;
}

/** One element for each port; `comment` says whose it is. */
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
