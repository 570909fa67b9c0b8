/**
 * A network driver connects network namespaces. The engine owns names, addresses and records; the driver carries them out on this host.
 * Everything that it makes carries the endpoint's or the network's id in its name, so that forgotten objects can be found and removed.
 * Addresses and subnets are CIDR ("10.88.0.2/16", "fd00::2/64"), gateways and nameservers have no prefix length.
 *
 * Before a network is recorded, its driver says whether it can carry it out: a network that no container could ever join must not come
 * into being. Nothing is made on the host until the first container joins, with an address that the engine has picked:
 *
 * ```ts
 * await refused(driver.check(call, { ...network, options: { "com.example.unknown": "1" } }), "InvalidArgument");
 * await driver.check(call, network);
 *
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
 * await driver.detach(call, network, endpoint);
 * await driver.remove(call, network);
 * ```
 */
import type { Call } from "./call.ts";
import type { Driver } from "./driver.ts";
import type { ContainerId, EndpointId, NetworkId, Sparse, Strings } from "./words.ts";

export interface NetworkDriver extends Driver<NetworkPowers> {
  /**
   * Checks a network that is about to be created: its options, which are the driver's own words, its subnets, `internal`. It makes
   * nothing. An option that the driver does not know, or a value that it can't read, is `InvalidArgument`, with the known ones named. What
   * it knows and can't carry out, such as an IPv6 subnet, is `Unsupported`.
   */
  check(call: Call, network: Network): Promise<void>;
  /** May be repeated without harm. */
  ensure(call: Call, network: Network): Promise<void>;
  attach(call: Call, network: Network, endpoint: Endpoint): Promise<Attachment>;
  /**
   * The namespace may be gone already, or about to go. `live`: the namespace lives on, and has nothing of the endpoint when this answers.
   * An endpoint that is not attached is no error.
   */
  detach(call: Call, network: Network, endpoint: LeavingEndpoint, options?: Sparse<{ live: boolean }>): Promise<void>;
  /** `FailedPrecondition` while an endpoint is attached. */
  remove(call: Call, network: Network): Promise<void>;
  list(call: Call, network: Network): Promise<AsyncIterable<EndpointId>>;
}

export interface NetworkPowers {
  /** Without this power `endpoint.ports` is empty. */
  publish: Publishes;
  ipv6: unknown;
  /**
   * The driver picks addresses and the gateway itself, and answers both at `attach`. The engine gives its networks no subnet and no
   * address: `network.subnets` and `endpoint.addresses` hold what the user asked for, and are mostly empty.
   */
  ipam: unknown;
  /** Its networks are the host's own: a container in one has the host's network namespace, and is never attached. */
  hostNamespace: unknown;
  /** There is one network of it on a host, which the engine makes itself. */
  single: unknown;
}
/** Changes the published ports of an attached endpoint; the new list replaces the old one. */
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
/**
 * An endpoint on its way out, as it was attached. Of an endpoint that `list` told and the engine has no record of, there is the id alone:
 * the driver keeps what else it needs.
 */
export type LeavingEndpoint = Pick<Endpoint, "id"> & Sparse<Omit<Endpoint, "id">>;
export interface Endpoint {
  readonly id: EndpointId;
  readonly container: ContainerId;
  /** The path of the network namespace. */
  readonly netns: string;
  /** The interface's name in the namespace. */
  readonly interface: string;
  readonly addresses: readonly string[];
  readonly mac: string | null;
  readonly ports: readonly PortMap[];
  /** False: the container's default route uses another network. Left out: it uses this one, unless the network is internal. */
  readonly defaultRoute?: boolean;
}
/** `count` consecutive ports, from each of the two on; `hostPort` 0: any free port. */
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
  /** The way out of the network; null: there is none, or it has no address. */
  readonly gateway: string | null;
  /** The published ports: no host port is 0. */
  readonly ports: readonly PortMap[];
  readonly nameservers: readonly string[];
}
