/** The shortest implementation of the network contract, over network namespaces in memory. */
import {
  type Attachment,
  type Call,
  createCall,
  type Endpoint,
  type EndpointId,
  fail,
  type LeavingEndpoint,
  type Network,
  type NetworkDriver,
  type NetworkPowers,
  newContainerId,
  newEndpointId,
  newNetworkId,
  type PortMap,
  type Publishes,
  type Sparse,
  silentLog,
} from "@tsbox/kernel";
import type { NetworkWorld } from "../network/world.ts";
import { streamOf } from "./storage.ts";

export interface MemoryInterface {
  readonly network: string;
  readonly mac: string;
  readonly addresses: readonly string[];
  readonly gateway: string | null;
}
/** What outlives the driver. */
export interface MemoryHost {
  /** By the network's id: its bridge, with the endpoints on it. */
  readonly bridges: Map<string, Map<EndpointId, Endpoint>>;
  /** By its path: a namespace's interfaces by their names, and whether its loopback is up. */
  readonly namespaces: Map<string, { loopback: boolean; readonly interfaces: Map<string, MemoryInterface> }>;
  /** By the host's port. */
  readonly ports: Map<number, EndpointId>;
}

export const memoryHost = (): MemoryHost => ({ bridges: new Map(), namespaces: new Map(), ports: new Map() });

export class ReferenceNetwork implements NetworkDriver, Publishes {
  readonly powers: readonly (keyof NetworkPowers)[] = ["publish"];
  protected readonly host: MemoryHost;

  constructor(host: MemoryHost = memoryHost()) {
    this.host = host;
  }

  async check(_call: Call, { name, options }: Network): Promise<void> {
    const [option] = Object.keys(options);
    if (option !== undefined) throw fail("InvalidArgument", `network ${name}: option ${option} is unknown; there are none`);
  }

  async ensure(_call: Call, { id }: Network): Promise<void> {
    if (!this.host.bridges.has(id)) this.host.bridges.set(id, new Map());
  }

  async attach(_call: Call, network: Network, endpoint: Endpoint): Promise<Attachment> {
    const { id, netns, addresses, mac: wanted, defaultRoute = true } = endpoint;
    const namespace = this.host.namespaces.get(netns);
    if (namespace === undefined) throw fail("NotFound", `there is no network namespace ${netns}`);
    const ports = this.hold(id, endpoint.ports);
    const gateway = network.internal ? null : (network.subnets[0]?.gateway ?? null);
    const mac = wanted ?? "02:00:00:00:00:01";
    namespace.loopback = true;
    namespace.interfaces.set(endpoint.interface, { network: network.id, mac, addresses, gateway: defaultRoute ? gateway : null });
    this.attached(network).set(id, endpoint);
    return { addresses, mac, routes: [], gateway, ports, nameservers: [] };
  }

  async detach(_call: Call, network: Network, { id }: LeavingEndpoint, options: Sparse<{ live: boolean }> = {}): Promise<void> {
    const endpoint = this.host.bridges.get(network.id)?.get(id);
    if (endpoint === undefined) return;
    if (options.live) this.host.namespaces.get(endpoint.netns)?.interfaces.delete(endpoint.interface);
    this.release(id);
    this.attached(network).delete(id);
  }

  async publish(_call: Call, network: Network, endpoint: EndpointId, ports: readonly PortMap[]): Promise<readonly PortMap[]> {
    if (!this.attached(network).has(endpoint)) throw fail("NotFound", `no endpoint ${endpoint}`);
    this.release(endpoint);
    return this.hold(endpoint, ports);
  }

  async remove(_call: Call, network: Network): Promise<void> {
    if ((this.host.bridges.get(network.id)?.size ?? 0) > 0)
      throw fail("FailedPrecondition", `network ${network.name} has endpoints: detach them`);
    this.host.bridges.delete(network.id);
  }

  async list(_call: Call, network: Network): Promise<AsyncIterable<EndpointId>> {
    return streamOf([...(this.host.bridges.get(network.id)?.keys() ?? [])]);
  }

  protected attached({ id, name }: Network): Map<EndpointId, Endpoint> {
    const endpoints = this.host.bridges.get(id);
    if (endpoints === undefined) throw fail("NotFound", `network ${name} is not there: ensure it`);
    return endpoints;
  }

  protected hold(endpoint: EndpointId, ports: readonly PortMap[]): readonly PortMap[] {
    let free = 40_000;
    while (this.host.ports.has(free)) free += 1;
    const held = ports.map((port) => ({ ...port, hostPort: port.hostPort === 0 ? free++ : port.hostPort }));
    for (const { hostPort } of held)
      if (this.host.ports.has(hostPort)) throw fail("AlreadyExists", `port ${hostPort} is taken: give another`);
    for (const { hostPort } of held) this.host.ports.set(hostPort, endpoint);
    return held;
  }

  protected release(endpoint: EndpointId): void {
    for (const [port, owner] of this.host.ports) if (owner === endpoint) this.host.ports.delete(port);
  }
}

/** The world for drivers whose namespaces are in memory. */
export async function makeMemoryNetworks(open: (host: MemoryHost) => NetworkDriver): Promise<NetworkWorld> {
  const host = memoryHost();
  let driver = open(host);
  let number = 1;
  const newNetwork = (subnet: number): Network => ({
    id: newNetworkId(),
    name: `memory-${subnet}`,
    subnets: [{ cidr: `10.253.${subnet}.0/24`, gateway: `10.253.${subnet}.1` }],
    internal: false,
    options: {},
  });
  const networks = [newNetwork(1), newNetwork(2)] as const;
  const interfacesOf = (netns: string): readonly (readonly [string, MemoryInterface])[] => [
    ...(host.namespaces.get(netns)?.interfaces ?? []),
  ];
  return {
    get driver() {
      return driver;
    },
    get powers() {
      return driver.powers;
    },
    call: createCall(silentLog),
    networks,
    namespace: async () => {
      number += 1;
      host.namespaces.set(`/netns/${number}`, { loopback: false, interfaces: new Map() });
      return `/netns/${number}`;
    },
    end: async (netns) => void host.namespaces.delete(netns),
    endpoint: (network, netns, more = {}) => {
      number += 1;
      const addresses = [`${network.subnets[0]?.gateway.replace(/1$/, String(number))}/24`];
      const plain = { interface: "eth0", mac: null, ports: [], ...more };
      return { id: newEndpointId(), container: newContainerId(), netns, addresses, ...plain };
    },
    inside: async (netns) => ({
      loopback: host.namespaces.get(netns)?.loopback ?? false,
      interfaces: interfacesOf(netns).map(([name, { mac, addresses }]) => ({ name, mac, addresses })),
      gateways: interfacesOf(netns).flatMap(([, { gateway }]) => gateway ?? []),
    }),
    reaches: async (netns, address) => {
      const own = new Set(interfacesOf(netns).map(([, { network }]) => network));
      const others = [...host.namespaces.keys()]
        .flatMap(interfacesOf)
        .filter(([, { network }]) => own.has(network) && host.bridges.has(network));
      return others.some(([, { addresses }]) => addresses.some((one) => one.startsWith(`${address}/`)));
    },
    crash: async () => {
      driver = open(host);
    },
    onHost: async () => [...host.bridges.keys()].sort(),
    close: async () => undefined,
  };
}
