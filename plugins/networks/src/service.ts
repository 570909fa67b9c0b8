/** The service `networks`: the verbs of kernel/src/contract/services/networks.ts. */
import {
  asError,
  type Call,
  type ContainerId,
  cleanupCall,
  type Endpoint,
  type EndpointId,
  type EndpointRecord,
  type EventsService,
  fail,
  isTsboxError,
  type LeavingEndpoint,
  type NetworkDriver,
  type NetworkId,
  type NetworkRecord,
  type NetworksService,
  newEndpointId,
  newNetworkId,
  type StateService,
  type Strings,
  supports,
  withCleanup,
} from "@tsbox/kernel";
import { checkGateway, overlap, parseAddress, parseSubnet, type Subnet, showAddress, showSubnet } from "./address.ts";
import { AddressPool, pickSubnet } from "./pool.ts";

export interface NetworksEngine {
  readonly state: StateService;
  readonly events: EventsService;
  driver(id: string): Promise<NetworkDriver>;
  /** The id of the driver of networks that are created without one. */
  preferred(): Promise<string>;
}

/** Three networks always exist, each with the driver of its name. */
const predefined = ["bridge", "host", "none"] as const;

export interface OpenNetworks {
  readonly service: NetworksService;
  /** At the engine's end: removes from the host what no running container needs. It is made again when it is needed. */
  close(call: Call): Promise<void>;
}

export async function openNetworks(engine: NetworksEngine, call: Call): Promise<OpenNetworks> {
  const networks = new Map<NetworkId, NetworkRecord>();
  const pools = new Map<NetworkId, AddressPool>();
  /** Attached endpoints. */
  const attached = new Map<EndpointId, NetworkId>();
  /** Networks that this daemon has set up on the host. */
  const ensured = new Map<NetworkId, Promise<void>>();
  /** How many containers are joining a network: it is in use before they are attached. */
  const joining = new Map<NetworkId, number>();
  /** Removals in progress. */
  const removals = new Map<NetworkId, Promise<void>>();

  /** Serializes changes of the list, because a new name and a new subnet are checked against the existing ones. */
  let last: Promise<unknown> = Promise.resolve();
  const alone = <T>(work: () => Promise<T>): Promise<T> => {
    const mine = last.then(work);
    last = mine.catch(() => {});
    return mine;
  };

  const keep = async (network: NetworkRecord): Promise<void> => {
    await engine.state.write(call, [{ table: "networks", key: network.id, value: network }]);
    know(network);
  };
  const know = (network: NetworkRecord): void => {
    networks.set(network.id, network);
    const [subnet] = network.subnets;
    if (subnet) pools.set(network.id, new AddressPool(parseSubnet(subnet.cidr), parseAddress(subnet.gateway)));
  };
  const subnets = (): readonly Subnet[] =>
    [...networks.values()].flatMap((network) => network.subnets.map(({ cidr }) => parseSubnet(cidr)));

  for (const [, value] of await engine.state.list(call, "networks")) {
    const network = value as NetworkRecord;
    try {
      know(network);
    } catch (error) {
      // The network can still be removed; it has no pool, so no addresses are given.
      call.log.warn(`network ${network.name} can't be used: ${error instanceof Error ? error.message : String(error)}; remove it`);
    }
  }
  const named = (name: string): NetworkRecord | undefined => [...networks.values()].find((network) => network.name === name);

  const find = (name: string): NetworkRecord => {
    const byName = named(name);
    if (byName) return byName;
    const matches = [...networks.values()].filter((network) => network.id.startsWith(name));
    if (name !== "" && matches.length === 1 && matches[0]) return matches[0];
    throw fail("NotFound", `network ${name} not found`);
  };

  /** Predefined networks are created when they are first needed: a host that only runs `--net none` gets no subnet. */
  const get = async (name: string): Promise<NetworkRecord> => {
    const word = predefined.find((one) => one === name);
    if (word === undefined || named(word)) return find(name);
    return alone(async () => {
      const known = named(word);
      if (known) return known;
      const network = define(word, word, word === "bridge" ? pickSubnet("bridge", subnets()) : null, null, { predefined: true });
      await keep(network);
      return network;
    });
  };

  /** Marks the network as in use until `leave`. Waits for a removal in progress: the network is then gone, or it stays. */
  const join = async (name: string): Promise<NetworkRecord> => {
    for (;;) {
      const network = await get(name);
      const removal = removals.get(network.id);
      if (removal !== undefined) await removal.catch(() => {});
      else if (networks.has(network.id)) {
        joining.set(network.id, (joining.get(network.id) ?? 0) + 1);
        return network;
      }
    }
  };
  const leave = (network: NetworkRecord): void => {
    const left = (joining.get(network.id) ?? 0) - 1;
    if (left > 0) joining.set(network.id, left);
    else joining.delete(network.id);
  };
  const isUsed = (network: NetworkRecord): boolean => joining.has(network.id) || [...attached.values()].includes(network.id);

  /** The driver that a request names. */
  const wanted = async (id: string): Promise<NetworkDriver> => {
    try {
      return await engine.driver(id);
    } catch (error) {
      if (!isMissing(error)) throw error;
      throw fail("NotFound", asError(error).message, { cause: error });
    }
  };

  /** `force`: the record goes even if the driver is missing. What that driver left on this host, it may remove when it is back. */
  const takeAway = async (inner: Call, network: NetworkRecord, force: boolean): Promise<void> => {
    // If this fails, a part of the network may be gone: the next container that joins sets it up again.
    ensured.delete(network.id);
    try {
      await (await engine.driver(network.driver)).remove(inner, network);
    } catch (error) {
      if (!isMissing(error)) throw error;
      const { message } = asError(error);
      if (!force) throw fail("DriverMissing", `${message}; install its plugin again, or remove the network with -f`, { cause: error });
      inner.log.warn(`network ${network.name} is removed without its driver: ${message}`);
    }
    await engine.state.write(inner, [{ table: "networks", key: network.id, value: null }]);
    networks.delete(network.id);
    pools.delete(network.id);
  };

  const ensure = (network: NetworkRecord, driver: NetworkDriver): Promise<void> => {
    const known = ensured.get(network.id);
    if (known) return known;
    const made = driver.ensure(call, network);
    ensured.set(network.id, made);
    made.catch(() => ensured.delete(network.id));
    return made;
  };

  const publish = (inner: Call, action: string, network: NetworkRecord, more: Strings = {}): Promise<void> =>
    engine.events.publish(inner, {
      type: "network",
      action,
      id: network.id,
      attributes: { ...more, name: network.name, type: network.driver },
    });

  const service: NetworksService = {
    get: (_call, name) => get(name),
    list: async () => {
      for (const name of predefined) await get(name);
      return [...networks.values()].sort((a, b) => a.createdAt - b.createdAt);
    },
    create: async (inner, { name, driver: asked, subnet, gateway, internal = false, labels = {}, options = {} }) => {
      if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name))
        throw fail("InvalidArgument", `invalid network name "${name}": only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
      return alone(async () => {
        if (named(name) || (predefined as readonly string[]).includes(name))
          throw fail("AlreadyExists", `network with name ${name} already exists`);
        const driver = asked ?? (await engine.preferred());
        const opened = await wanted(driver);
        refuseSingle(opened, driver);
        const chosen = subnet === undefined ? subnetFor(opened, subnets()) : parseSubnet(subnet);
        // Checked before it is recorded: records are trusted at each start.
        if (chosen !== null) refuseOverlap(chosen, [...networks.values()]);
        if (gateway !== undefined) {
          if (chosen === null)
            throw fail("InvalidArgument", `gateway ${gateway} needs a subnet: the driver ${driver} picks both itself; leave it out`);
          checkGateway(chosen, gateway);
        }
        const network = { ...define(name, driver, chosen, gateway ?? null, { predefined: false }), internal, labels, options };
        await opened.check(inner, network);
        await keep(network);
        await publish(inner, "create", network);
        return network;
      });
    },
    remove: (inner, name, { force = false } = {}) =>
      alone(async () => {
        const network = find(name);
        if (network.predefined) throw fail("PermissionDenied", `${network.name} is a pre-defined network and cannot be removed`);
        if (isUsed(network))
          throw fail("PermissionDenied", `error while removing network: network ${network.name} id ${network.id} has active endpoints`);
        const removal = takeAway(inner, network, force);
        removals.set(network.id, removal);
        try {
          await removal;
        } finally {
          removals.delete(network.id);
        }
        await publish(inner, "destroy", network);
      }),
    namespace: async (_call, name) => {
      const { driver } = await get(name);
      try {
        return supports(await engine.driver(driver), "hostNamespace") ? "host" : "new";
      } catch (error) {
        // No container can be in such a network now.
        if (isMissing(error)) return "new";
        throw error;
      }
    },
    connect: async (inner, name, container, netns, options) => {
      const network = await join(name);
      return withCleanup(async (cleanup) => {
        cleanup.always(() => leave(network));
        const driver = await engine.driver(network.driver);
        const ports = options.ports ?? [];
        if (ports.length > 0 && !supports(driver, "publish"))
          throw fail("Unsupported", `network ${network.name} can't publish ports: leave out -p, or use a bridge network`);
        const pool = pools.get(network.id);
        await ensure(network, driver);
        const ipam = supports(driver, "ipam");
        const before = ipam ? undefined : options.previous;
        const asked = options.address ?? (before === undefined ? undefined : bare(before)[0]);
        const mac = options.mac ?? before?.attachment.mac;
        const address = pool && !ipam ? pool.take(asked === undefined ? null : parseAddress(asked)) : null;
        if (address !== null) cleanup.undo(() => pool?.free(parseAddress(address)));
        const endpoint: Endpoint = {
          ...endpointOf(network, container, netns, ipam ? (asked ?? null) : address, { interface: options.interface, mac }),
          ports,
          defaultRoute: options.defaultRoute ?? true,
        };
        const attachment = await driver.attach(inner, network, endpoint);
        cleanup.undo(() => driver.detach(cleanupCall(inner), network, endpoint));
        attached.set(endpoint.id, network.id);
        cleanup.undo(() => attached.delete(endpoint.id));
        await publish(inner, "connect", network, { container });
        return {
          id: endpoint.id,
          network: network.id,
          networkName: network.name,
          container,
          netns,
          interface: endpoint.interface,
          attachment,
          gateway: attachment.gateway,
        };
      });
    },
    disconnect: async (inner, endpoint, options = {}) => {
      const network = networks.get(endpoint.network);
      if (network === undefined) return;
      await (await engine.driver(network.driver)).detach(inner, network, leavingEndpoint(endpoint), options);
      if (attached.delete(endpoint.id)) await publish(inner, "disconnect", network, { container: endpoint.container });
      for (const address of bare(endpoint)) pools.get(network.id)?.free(parseAddress(address));
    },
    restore: async (inner, endpoints) => {
      for (const endpoint of endpoints) for (const address of bare(endpoint)) pools.get(endpoint.network)?.hold(parseAddress(address));
      const alive = new Set<string>(endpoints.map((endpoint) => endpoint.id));
      for (const endpoint of endpoints) attached.set(endpoint.id, endpoint.network);
      for (const network of networks.values()) {
        // A driver that is missing or fails concerns its own networks alone.
        try {
          const driver = await engine.driver(network.driver);
          for await (const id of await driver.list(inner, network)) if (!alive.has(id)) await driver.detach(inner, network, { id });
          // Running containers need their bridge and its rules, even if those were removed meanwhile.
          if (endpoints.some((endpoint) => endpoint.network === network.id)) await ensure(network, driver);
        } catch (error) {
          inner.log.warn(`network ${network.name} can't be looked after: ${asError(error).message}`);
        }
      }
    },
  };
  const close = async (closing: Call): Promise<void> => {
    const needed = new Set(attached.values());
    // Also those of an earlier daemon: a killed daemon leaves its networks behind, and they may not have been used since.
    for (const network of networks.values()) {
      if (needed.has(network.id)) continue;
      try {
        await (await engine.driver(network.driver)).remove(closing, network);
      } catch (error) {
        closing.log.warn(`network ${network.name} stays on this host: ${error instanceof Error ? error.message : error}`);
      }
    }
  };
  return { service, close };
}

const isMissing = (error: unknown): boolean => isTsboxError(error) && error.code === "DriverMissing";

const bare = (endpoint: EndpointRecord): readonly string[] =>
  endpoint.attachment.addresses.map((address) => address.split("/")[0] ?? "").filter((address) => address.includes("."));

function refuseSingle(driver: NetworkDriver, id: string): void {
  if (supports(driver, "single")) throw fail("PermissionDenied", `only one instance of "${id}" network is allowed`);
}

/** A driver that picks addresses itself knows its own subnet. */
const subnetFor = (driver: NetworkDriver, taken: readonly Subnet[]): Subnet | null =>
  supports(driver, "ipam") ? null : pickSubnet("user", taken);

/** A record of an earlier version of the engine has no `netns`. */
function leavingEndpoint({
  id,
  container,
  netns,
  interface: name,
  attachment: { addresses, mac, ports },
}: EndpointRecord): LeavingEndpoint {
  return { id, container, interface: name, addresses, mac, ports, ...(netns === undefined ? {} : { netns }) };
}

function define(
  name: string,
  driver: string,
  subnet: Subnet | null,
  gateway: string | null,
  more: { readonly predefined: boolean },
): NetworkRecord {
  const first = subnet === null ? null : (gateway ?? showAddress(subnet.first + 1));
  return {
    id: newNetworkId(),
    name,
    driver,
    subnets: subnet === null || first === null ? [] : [{ cidr: showSubnet(subnet), gateway: first }],
    internal: false,
    options: {},
    labels: {},
    createdAt: Date.now(),
    ...more,
  };
}

function endpointOf(
  network: NetworkRecord,
  container: ContainerId,
  netns: string,
  address: string | null,
  options: { readonly mac?: string | undefined; readonly interface?: string | undefined },
): Omit<Endpoint, "ports"> {
  const length = network.subnets[0]?.cidr.split("/")[1] ?? "32";
  return {
    id: newEndpointId(),
    container,
    netns,
    interface: options.interface ?? "eth0",
    addresses: address === null ? [] : [`${address}/${length}`],
    // As Docker used to: a locally administered MAC that follows from the IP address, so that neighbours' caches stay valid.
    mac: options.mac ?? (address === null ? null : macOf(address)),
  };
}

const macOf = (address: string): string =>
  `02:42:${address
    .split(".")
    .map((part) => Number(part).toString(16).padStart(2, "0"))
    .join(":")}`;

/** Docker's message and status. As in Docker, the host's routes matter only for a subnet that the engine picks. */
function refuseOverlap(chosen: Subnet, networks: readonly NetworkRecord[]): void {
  const other = networks.find(({ subnets }) => subnets.some(({ cidr }) => overlap(parseSubnet(cidr), chosen)));
  if (other === undefined) return;
  const taken = other.subnets.map(({ cidr }) => cidr).join(", ");
  throw fail(
    "PermissionDenied",
    `invalid pool request: Pool overlaps with other one on this address space: network ${other.name} has ${taken}; give another --subnet`,
  );
}
