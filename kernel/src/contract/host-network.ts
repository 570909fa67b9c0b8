/**
 * The host's network as drivers change it: links by rtnetlink, the firewall by nftables, both without a process. Names of interfaces have
 * at most 15 characters. What is made here outlives the daemon: its name carries the engine's id, and whoever made it looks for it again
 * (`links`, `firewallElements`).
 */
import type { Call } from "./call.ts";

export interface HostNetwork {
  /**
   * Whether this kernel and these privileges suffice for all below; tried in a network namespace that goes at once. `Unsupported` or
   * `PermissionDenied` say what is missing.
   */
  probeNetwork(call: Call): Promise<void>;
  /**
   * A bridge of that name, up, with those addresses; what is there already stays. `AlreadyExists`: another kind of interface has the name.
   */
  ensureBridge(call: Call, bridge: HostBridge): Promise<void>;
  /**
   * Makes a pair of interfaces, one end on a bridge, the other in a network namespace with addresses and routes, both up. `AlreadyExists`:
   * a name is taken.
   */
  attachVeth(call: Call, veth: HostVeth): Promise<{ readonly mac: string }>;
  /** Brings up the loopback of a network namespace that has nothing else. */
  attachLoopback(call: Call, netns: string): Promise<void>;
  /** The interfaces here whose names begin with `prefix`. */
  links(call: Call, prefix: string): Promise<readonly HostLink[]>;
  /** `NotFound` when there is none. */
  removeLink(call: Call, name: string): Promise<void>;
  /** The main table's routes, IPv4 and IPv6: what a new subnet must not overlap. */
  routes(call: Call): Promise<readonly { readonly to: string; readonly interface: number | null }[]>;

  /**
   * One nftables transaction (IPv4): all steps, or none. `AlreadyExists`: a map has another value for that key; `NotFound`: what a step
   * names is not there.
   */
  firewall(call: Call, steps: readonly FirewallStep[]): Promise<void>;
  /** What a set or map holds that is not one of ranges. `NotFound`: no such table or set. */
  firewallElements(call: Call, table: string, set: FirewallSet): Promise<readonly FirewallElement[]>;
  firewallTables(call: Call, prefix: string): Promise<readonly string[]>;

  /**
   * Holds a host port by a socket that nobody reads, so that others are told that it is taken; port 0 takes any free one. Until
   * `releasePort`, or as long as the daemon. `AlreadyExists`: it is taken.
   */
  reservePort(call: Call, protocol: "tcp" | "udp" | "sctp", address: string, port: number): Promise<PortReservation>;
  releasePort(call: Call, reservation: number): Promise<void>;
}

export interface HostBridge {
  readonly name: string;
  /** With prefix lengths: "10.88.0.1/16". */
  readonly addresses: readonly string[];
  /** Null: that of its lowest port, changing with it. */
  readonly mac: string | null;
  readonly mtu: number | null;
}
export interface HostVeth {
  /** Of the end that stays here. */
  readonly name: string;
  readonly bridge: string;
  /** The namespace, by path. */
  readonly netns: string;
  /** The name inside. */
  readonly interface: string;
  /** Free text of at most 255 bytes, kept with the end that stays here. */
  readonly alias: string | null;
  /** The bridge may send back to it what came from it, as when a container uses its own published port. */
  readonly hairpin: boolean;
  readonly mac: string | null;
  readonly mtu: number | null;
  readonly addresses: readonly string[];
  readonly routes: readonly { readonly to: string; readonly via: string | null }[];
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
/** With `value` it is a map; with `interval` its one part is an address, and its elements are CIDR. */
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

/** All but `deleteTable`, `deleteElement` and `rule` leave alone what is there already; `chain` empties its chain. */
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
  /** Goes to the end of its chain; all tests must hold. */
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
  /** Belongs to a connection that is there, or is related to one. */
  | { readonly test: "established" }
  /** Its connection goes where a `translate` sent it. */
  | { readonly test: "destinationTranslated" };

/**
 * `translate` looks the destination up in a map of `address . port` and sends the packet there; what is not in the map goes on to the next
 * rule.
 */
export type FirewallVerdict =
  | { readonly verdict: "accept" | "drop" | "masquerade" }
  | { readonly verdict: "translate"; readonly map: string; readonly key: readonly ("protocol" | "address" | "port")[] };
