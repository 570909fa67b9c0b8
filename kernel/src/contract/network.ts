/**
 * A network driver joins network namespaces. The engine owns names, addresses and records; the driver makes them true on this host.
 * Everything it makes carries the endpoint's or the network's id in its name, so that what nobody remembers can be found and removed.
 * Addresses and subnets are CIDR ("10.88.0.2/16", "fd00::2/64"), gateways and nameservers bare.
 *
 * A container joins a network with an address that the engine has picked, and leaves it:
 *
 * ```ts
 * await driver.ensure(call, network);
 * // After a restart of the daemon it is asked for again.
 * await driver.ensure(call, network);
 *
 * const attachment = await driver.attach(call, network, endpoint);
 * expect(attachment.addresses, endpoint.addresses);
 * expect(await all(await driver.list(call, network)), [endpoint.id]);
 * await refused(driver.remove(call, network), "FailedPrecondition");
 *
 * // The container has ended, and its namespace with it.
 * await driver.detach(call, network, endpoint.id);
 * await driver.remove(call, network);
 * ```
 */
import type { Call } from "./call.ts";
import type { Driver } from "./driver.ts";
import type { ContainerId, EndpointId, NetworkId, Sparse, Strings } from "./words.ts";

export interface NetworkDriver extends Driver<NetworkPowers> {
  /** Again and again, without harm. */
  ensure(call: Call, network: Network): Promise<void>;
  attach(call: Call, network: Network, endpoint: Endpoint): Promise<Attachment>;
  /**
   * The namespace may be gone already, or goes in a moment. `live`: it lives on, and nothing of the endpoint is in it when this answers.
   */
  detach(call: Call, network: Network, endpoint: EndpointId, options?: Sparse<{ live: boolean }>): Promise<void>;
  /** `FailedPrecondition` while an endpoint is attached. */
  remove(call: Call, network: Network): Promise<void>;
  list(call: Call, network: Network): Promise<AsyncIterable<EndpointId>>;
}

export interface NetworkPowers {
  /** Without it `endpoint.ports` is empty. */
  publish: Publishes;
  ipv6: unknown;
  /** Picks addresses itself: `endpoint.addresses` may be empty. */
  ipam: unknown;
}
/** Live; the new list replaces the old one. */
export interface Publishes {
  publish(call: Call, network: Network, endpoint: EndpointId, ports: readonly PortMap[]): Promise<readonly PortMap[]>;
}

export interface Network {
  readonly id: NetworkId;
  readonly name: string;
  readonly subnets: readonly { readonly cidr: string; readonly gateway: string }[];
  readonly internal: boolean;
  readonly options: Strings;
}
export interface Endpoint {
  readonly id: EndpointId;
  readonly container: ContainerId;
  /** The network namespace, by path. */
  readonly netns: string;
  /** The name that the interface gets inside. */
  readonly interface: string;
  readonly addresses: readonly string[];
  readonly mac: string | null;
  readonly ports: readonly PortMap[];
  /** False: its network is not the container's way out. Left out: it is, unless the network is internal. */
  readonly defaultRoute?: boolean;
}
/** `count` ports from each on; `hostPort` 0: any free. */
export interface PortMap {
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly hostAddress: string;
  readonly hostPort: number;
  readonly containerPort: number;
  readonly count: number;
}
export interface Attachment {
  readonly addresses: readonly string[];
  readonly mac: string;
  readonly routes: readonly { readonly to: string; readonly via: string | null }[];
  /** As published: no 0 among the host ports. */
  readonly ports: readonly PortMap[];
  readonly nameservers: readonly string[];
}
