/**
 * The host's network, as drivers change it: links by rtnetlink, the firewall by nftables, both without a helper process. Names of
 * interfaces have at most 15 characters. Links and tables outlive the daemon: their names carry the engine's id, and the driver that made
 * them finds them again (`links`, `firewallElements`).
 */
import type { Call } from "./call.ts";

export interface HostNetwork {
  /**
   * Whether this kernel and these privileges suffice for all verbs below. It tries them in a temporary network namespace. `Unsupported` or
   * `PermissionDenied` say what is missing.
   */
  probeNetwork(call: Call): Promise<void>;
  /**
   * Makes a bridge with that name and those addresses and sets it up; an existing one keeps what it has. `AlreadyExists`: another kind of
   * interface has the name.
   */
  ensureBridge(call: Call, bridge: HostBridge): Promise<void>;
  /**
   * Makes a veth pair, one end on a bridge, the other in a network namespace with addresses and routes, both up. `AlreadyExists`: a name is
   * taken.
   */
  attachVeth(call: Call, veth: HostVeth): Promise<{ readonly mac: string }>;
  /**
   * Makes a macvlan interface of `parent` in a network namespace, up, with addresses and routes; it is gone with that namespace.
   * `AlreadyExists`: the namespace has an interface of that name. `NotFound`: no such parent. `Unsupported`: this kernel has no macvlan.
   */
  attachMacvlan(call: Call, macvlan: HostMacvlan): Promise<{ readonly mac: string }>;
  /** Makes the interface of one VLAN, up. `AlreadyExists`: the name is taken. `NotFound`: no such parent. `Unsupported`. */
  makeVlan(call: Call, vlan: HostVlan): Promise<void>;
  /** Sets up the loopback of a network namespace that has nothing else. */
  attachLoopback(call: Call, netns: string): Promise<void>;
  /** The interfaces of this namespace whose names begin with `prefix`. */
  links(call: Call, prefix: string): Promise<readonly HostLink[]>;
  /** `netns`: the path of the namespace that has it. Left out: this one. `NotFound`: there is no such link, or namespace. */
  removeLink(call: Call, name: string, netns?: string): Promise<void>;
  /** The main table's routes, IPv4 and IPv6, which a new subnet must not overlap. */
  routes(call: Call): Promise<readonly { readonly to: string; readonly interface: number | null }[]>;

  /**
   * Runs one nftables transaction (IPv4): all steps, or none. `AlreadyExists`: a map has another value for that key. `NotFound`: a step
   * names something that does not exist.
   */
  firewall(call: Call, steps: readonly FirewallStep[]): Promise<void>;
  /** The elements of a set or map that is not one of intervals. `NotFound`: no such table or set. */
  firewallElements(call: Call, table: string, set: FirewallSet): Promise<readonly FirewallElement[]>;
  firewallTables(call: Call, prefix: string): Promise<readonly string[]>;

  /**
   * Reserves a host port by a socket that the engine does not read, so that other programs see it as taken; port 0 takes any free port. It
   * lasts until `releasePort`, or as long as the daemon. `AlreadyExists`: it is taken.
   */
  reservePort(call: Call, protocol: "tcp" | "udp" | "sctp", address: string, port: number): Promise<PortReservation>;
  releasePort(call: Call, reservation: number): Promise<void>;
}

export interface HostBridge {
  readonly name: string;
  /** With prefix lengths: "10.88.0.1/16". */
  readonly addresses: readonly string[];
  /** Null: the MAC of its lowest port, changing with it. */
  readonly mac: string | null;
  readonly mtu: number | null;
}
export interface HostVeth {
  /** The name of the end that stays in this namespace. */
  readonly name: string;
  readonly bridge: string;
  /** The path of the network namespace. */
  readonly netns: string;
  /** The interface's name in that namespace. */
  readonly interface: string;
  /** Free text of at most 255 bytes, stored with the end that stays here. */
  readonly alias: string | null;
  /** The bridge may send a packet back to the port that it came from, as when a container uses its own published port. */
  readonly hairpin: boolean;
  readonly mac: string | null;
  readonly mtu: number | null;
  readonly addresses: readonly string[];
  readonly routes: readonly { readonly to: string; readonly via: string | null }[];
}
export interface HostMacvlan {
  /** An interface of this namespace. */
  readonly parent: string;
  readonly mode: "private" | "vepa" | "bridge" | "passthru";
  /** The path of the network namespace. */
  readonly netns: string;
  /** The interface's name in that namespace. */
  readonly interface: string;
  readonly mac: string | null;
  readonly mtu: number | null;
  readonly addresses: readonly string[];
  readonly routes: readonly { readonly to: string; readonly via: string | null }[];
}
export interface HostVlan {
  readonly name: string;
  readonly parent: string;
  /** 1 to 4094. */
  readonly id: number;
  /** Free text of at most 255 bytes. */
  readonly alias: string | null;
}
export interface HostLink {
  readonly index: number;
  readonly name: string;
  readonly mac: string;
  /** "bridge", "veth" …; empty for hardware. */
  readonly kind: string;
  readonly alias: string | null;
}
export interface PortReservation {
  readonly reservation: number;
  readonly port: number;
}

/** A part of a key or value; "interface" is a name. */
export type FirewallPart = "address" | "port" | "protocol" | "interface";
/** With `value` it is a map. With `interval` its key is one address, and its elements are CIDR. */
export interface FirewallSet {
  readonly set: string;
  readonly key: readonly FirewallPart[];
  readonly value: readonly FirewallPart[] | null;
  readonly interval: boolean;
}
export interface FirewallElement {
  readonly key: readonly string[];
  /** Null in a set. */
  readonly value: readonly string[] | null;
  /** At most 127 bytes. */
  readonly comment: string | null;
}

/** All steps but `deleteTable`, `deleteElement` and `rule` keep what exists already; `chain` empties its chain. */
export type FirewallStep =
  | { readonly step: "table" | "deleteTable"; readonly table: string }
  | {
      readonly step: "chain";
      readonly table: string;
      readonly chain: string;
      readonly kind: "filter" | "nat";
      readonly hook: "prerouting" | "input" | "forward" | "output" | "postrouting";
      readonly priority: number;
    }
  /** Appended to the end of its chain; all tests must hold. */
  | {
      readonly step: "rule";
      readonly table: string;
      readonly chain: string;
      readonly tests: readonly FirewallTest[];
      readonly verdict: FirewallVerdict;
    }
  | { readonly step: "set"; readonly table: string; readonly set: FirewallSet }
  | { readonly step: "element"; readonly table: string; readonly set: FirewallSet; readonly element: FirewallElement }
  | { readonly step: "deleteElement"; readonly table: string; readonly set: FirewallSet; readonly key: readonly string[] };

export type FirewallTest =
  | { readonly test: "interfaceIn" | "interfaceOut"; readonly set: string; readonly not: boolean }
  /** Interface in and out, in a set of two parts. */
  | { readonly test: "interfacePair"; readonly set: string }
  | { readonly test: "sourceIn"; readonly set: string }
  | { readonly test: "source" | "destination"; readonly cidr: string }
  /** The destination is an address of this host. */
  | { readonly test: "destinationLocal" }
  /** The packet belongs to an existing connection, or is related to one. */
  | { readonly test: "established" }
  /** A `translate` changed the destination of the packet's connection. */
  | { readonly test: "destinationTranslated" };

/**
 * `translate` looks up the destination in a map to `address . port` and sends the packet there. A packet that is not in the map continues
 * with the next rule.
 */
export type FirewallVerdict =
  | { readonly verdict: "accept" | "drop" | "masquerade" }
  | { readonly verdict: "translate"; readonly map: string; readonly key: readonly ("protocol" | "address" | "port")[] };
