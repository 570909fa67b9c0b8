/**
 * The contract's verbs. The driver keeps nothing on disk: interfaces and map elements carry their owner's id, and are read from the host's
 * kernel.
 */
import { readFile, writeFile } from "node:fs/promises";
import {
  type Attachment,
  type Call,
  cleanupCall,
  type Endpoint,
  type EndpointId,
  type FirewallStep,
  fail,
  type HostLink,
  type HostToolkit,
  holdPorts,
  isTsboxError,
  type LeavingEndpoint,
  type Network,
  type NetworkDriver,
  type NetworkPowers,
  type PortMap,
  type Publishes,
  releasePorts,
  type Sparse,
  withCleanup,
} from "@tsbox/kernel";
import { bridgeName, formatAlias, type LinkOwner, linkPrefix, parseAlias, vethAttempts, vethName } from "./names.ts";
import { parseOptions } from "./options.ts";
import { addKeys, baseSteps, deleteKeys, networkKeys, type PortElement, portElements, portMaps, tableName } from "./rules.ts";

/**
 * A veth pair is removed with its container's network namespace, some 26 ms after the last process. Only a pair that still exists after
 * this many milliseconds is removed explicitly, which takes as long and blocks all other changes of links meanwhile.
 */
const grace = 1_000;

interface Published {
  readonly elements: readonly PortElement[];
  readonly reservations: readonly number[];
}

export class BridgeDriver implements NetworkDriver, Publishes {
  readonly powers: readonly (keyof NetworkPowers)[] = ["publish"];
  readonly #host: HostToolkit;
  readonly #engineId: string;
  readonly #table: string;
  readonly #makeCall: () => Call;
  readonly #published = new Map<EndpointId, Published>();
  /** Networks that this daemon has set up. */
  readonly #ensured = new Set<string>();
  #based: Promise<void> | null = null;
  /**
   * Networks are made and removed one after another: they share one firewall table, which is made with the first and removed with the last.
   */
  #last: Promise<unknown> = Promise.resolve();
  readonly #leaving = new Map<EndpointId, NodeJS.Timeout>();

  constructor(host: HostToolkit, engineId: string, makeCall: () => Call) {
    this.#host = host;
    this.#engineId = engineId;
    this.#table = tableName(engineId);
    this.#makeCall = makeCall;
  }

  /** Reads the ports that an earlier daemon published, and reserves them again. */
  async open(call: Call): Promise<void> {
    if (!(await this.#host.firewallTables(call, this.#table)).includes(this.#table)) return;
    const found = new Map<EndpointId, PortElement[]>();
    for (const set of portMaps) {
      for (const element of await this.#host.firewallElements(call, this.#table, set)) {
        const endpoint = element.comment as EndpointId;
        found.set(endpoint, [...(found.get(endpoint) ?? []), { set, element }]);
      }
    }
    for (const [endpoint, elements] of found) {
      const reservations = await Promise.all(elements.map(({ element }) => this.#holdAgain(call, element.key)));
      this.#published.set(endpoint, { elements, reservations: reservations.flatMap((reservation) => reservation ?? []) });
    }
  }

  async close(call: Call): Promise<void> {
    for (const timer of this.#leaving.values()) clearTimeout(timer);
    await this.#sweep(call, new Set(this.#leaving.keys()));
    for (const { reservations } of this.#published.values()) await releasePorts(call, this.#host, reservations);
    this.#published.clear();
  }

  async check(_call: Call, network: Network): Promise<void> {
    parseOptions(network);
    for (const { cidr } of network.subnets)
      if (cidr.includes(":"))
        throw fail("Unsupported", `network ${network.name}: subnet ${cidr} is IPv6, which bridges don't carry; use IPv4`);
  }

  async ensure(call: Call, network: Network): Promise<void> {
    if (!this.#ensured.has(network.id)) await this.#alone(() => this.#make(call, network));
  }

  async #make(call: Call, network: Network): Promise<void> {
    if (this.#ensured.has(network.id)) return;
    // Networks that were recorded before drivers checked them.
    await this.check(call, network);
    const options = parseOptions(network);
    const bridge = bridgeName(this.#engineId, network);
    const addresses = network.subnets.map(({ cidr, gateway }) => `${gateway}/${cidr.split("/")[1]}`);
    await this.#host.ensureBridge(call, { name: bridge, addresses, mac: hardwareAddress(network), mtu: options.mtu });
    this.#based ??= this.#host.firewall(call, baseSteps(this.#table));
    await this.#based.catch((error: unknown) => {
      this.#based = null;
      throw error;
    });
    await this.#host.firewall(call, addKeys(this.#table, this.#keys(network, bridge)));
    await setKernel("net/ipv4/ip_forward", "1");
    // Lets 127.0.0.1 of this host reach published ports; the table keeps containers away from the host's own 127.0.0.1.
    await setKernel(`net/ipv4/conf/${bridge}/route_localnet`, "1");
    this.#ensured.add(network.id);
  }

  async attach(call: Call, network: Network, endpoint: Endpoint): Promise<Attachment> {
    const address = endpoint.addresses.find((one) => !one.includes(":"))?.split("/")[0];
    if (address === undefined)
      throw fail("InvalidArgument", `endpoint ${endpoint.id.slice(0, 12)} has no IPv4 address: this driver picks none itself`);
    return withCleanup(async (cleanup) => {
      const gateway = network.subnets[0]?.gateway;
      const routes =
        network.internal || gateway === undefined || endpoint.defaultRoute === false ? [] : [{ to: "0.0.0.0/0", via: gateway }];
      const { mac, name } = await this.#attachLink(call, network, endpoint, address, routes);
      cleanup.undo(() => this.#host.removeLink(cleanupCall(call), name));
      const ports = endpoint.ports.length === 0 ? [] : await this.#publish(call, endpoint.id, address, endpoint.ports);
      return { addresses: endpoint.addresses, mac, routes, gateway: network.internal ? null : (gateway ?? null), ports, nameservers: [] };
    });
  }

  async detach(call: Call, _network: Network, { id: endpoint }: LeavingEndpoint, options: Sparse<{ live: boolean }> = {}): Promise<void> {
    await this.#unpublish(call, endpoint);
    if (options.live) return this.#sweep(call, new Set([endpoint]));
    if (this.#leaving.has(endpoint)) return;
    const timer = setTimeout(() => {
      this.#sweep(this.#makeCall(), new Set([endpoint])).catch((error: unknown) =>
        call.log.warn(`an interface of endpoint ${endpoint.slice(0, 12)} stays: ${error instanceof Error ? error.message : error}`),
      );
    }, grace);
    timer.unref();
    this.#leaving.set(endpoint, timer);
  }

  async publish(call: Call, network: Network, endpoint: EndpointId, ports: readonly PortMap[]): Promise<readonly PortMap[]> {
    const owner = (await this.#owners(call)).find(([, one]) => one.endpoint === endpoint && one.network === network.id)?.[1];
    if (owner === undefined) throw fail("NotFound", `endpoint ${endpoint.slice(0, 12)} is not attached to network ${network.name}`);
    await this.#unpublish(call, endpoint);
    return ports.length === 0 ? [] : this.#publish(call, endpoint, owner.address, ports);
  }

  remove(call: Call, network: Network): Promise<void> {
    return this.#alone(() => this.#remove(call, network));
  }

  async #remove(call: Call, network: Network): Promise<void> {
    const [first] = await this.#attached(call, network);
    if (first !== undefined)
      throw fail(
        "FailedPrecondition",
        `network ${network.name} has active endpoints (${first.slice(0, 12)}): disconnect their containers first`,
      );
    // A container that has just ended may have left its veth pair on the bridge for a moment.
    await this.#sweep(call, new Set(this.#leaving.keys()));
    const bridge = bridgeName(this.#engineId, network);
    this.#ensured.delete(network.id);
    if ((await this.#host.firewallTables(call, this.#table)).includes(this.#table)) await this.#removeRules(call, network, bridge);
    await this.#host.removeLink(call, bridge).catch(ignore("NotFound"));
  }

  async list(call: Call, network: Network): Promise<AsyncIterable<EndpointId>> {
    return stream(await this.#attached(call, network));
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work);
    this.#last = mine.catch(() => {});
    return mine;
  }

  async #attached(call: Call, network: Network): Promise<readonly EndpointId[]> {
    const owners = await this.#owners(call);
    return owners.flatMap(([, owner]) => (owner.network === network.id && !this.#leaving.has(owner.endpoint) ? owner.endpoint : []));
  }

  async #owners(call: Call): Promise<readonly (readonly [HostLink, LinkOwner])[]> {
    const links = await this.#host.links(call, `${linkPrefix(this.#engineId)}v`);
    return links.flatMap((link) => {
      const owner = parseAlias(link);
      return owner === null ? [] : [[link, owner] as const];
    });
  }

  async #attachLink(
    call: Call,
    network: Network,
    endpoint: Endpoint,
    address: string,
    routes: Attachment["routes"],
  ): Promise<{ readonly mac: string; readonly name: string }> {
    for (let attempt = 0, again = true; ; attempt++) {
      const name = vethName(this.#engineId, endpoint.id, attempt);
      try {
        const { mac } = await this.#host.attachVeth(call, {
          name,
          bridge: bridgeName(this.#engineId, network),
          netns: endpoint.netns,
          interface: endpoint.interface,
          alias: formatAlias(network.id, endpoint.id, address),
          hairpin: endpoint.ports.length > 0,
          mac: endpoint.mac,
          mtu: parseOptions(network).mtu,
          addresses: endpoint.addresses,
          routes,
        });
        return { mac, name };
      } catch (error) {
        if (
          isTsboxError(error) &&
          error.code === "AlreadyExists" &&
          attempt + 1 < vethAttempts &&
          !(await this.#isAttached(call, endpoint.id))
        )
          continue;
        // The bridge was removed by another program; it is made again, once.
        if (!again || !isTsboxError(error) || error.code !== "NotFound" || !this.#ensured.delete(network.id)) throw error;
        again = false;
        attempt--;
        await this.ensure(call, network);
      }
    }
  }

  async #isAttached(call: Call, endpoint: EndpointId): Promise<boolean> {
    return (await this.#owners(call)).some(([, owner]) => owner.endpoint === endpoint);
  }

  async #publish(call: Call, endpoint: EndpointId, address: string, wanted: readonly PortMap[]): Promise<readonly PortMap[]> {
    return withCleanup(async (cleanup) => {
      const { ports, reservations } = await holdPorts(call, this.#host, wanted);
      cleanup.undo(() => releasePorts(cleanupCall(call), this.#host, reservations));
      const elements = ports.flatMap((port) => portElements(port, address, endpoint));
      await this.#host.firewall(
        call,
        elements.map(({ set, element }): FirewallStep => ({ step: "element", table: this.#table, set, element })),
      );
      this.#published.set(endpoint, { elements, reservations });
      return ports;
    });
  }

  async #unpublish(call: Call, endpoint: EndpointId): Promise<void> {
    const published = this.#published.get(endpoint);
    if (published === undefined) return;
    await this.#host.firewall(
      call,
      published.elements.map(({ set, element }): FirewallStep => ({ step: "deleteElement", table: this.#table, set, key: element.key })),
    );
    this.#published.delete(endpoint);
    await releasePorts(call, this.#host, published.reservations);
  }

  /** Removes the veth pairs of endpoints whose network namespace lives on: the container was disconnected while it ran. */
  async #sweep(call: Call, endpoints: ReadonlySet<EndpointId>): Promise<void> {
    if (endpoints.size === 0) return;
    for (const [link, owner] of await this.#owners(call))
      if (endpoints.has(owner.endpoint)) await this.#host.removeLink(call, link.name).catch(ignore("NotFound"));
    for (const endpoint of endpoints) {
      clearTimeout(this.#leaving.get(endpoint));
      this.#leaving.delete(endpoint);
    }
  }

  /** The table is removed with the engine's last bridge. */
  async #removeRules(call: Call, network: Network, bridge: string): Promise<void> {
    const others = await this.#host.links(call, `${linkPrefix(this.#engineId)}b`);
    if (this.#ensured.size === 0 && others.every((link) => link.name === bridge)) {
      await this.#host.firewall(call, [{ step: "deleteTable", table: this.#table }]);
      this.#based = null;
    } else {
      await this.#host.firewall(call, deleteKeys(this.#table, this.#keys(network, bridge)));
    }
  }

  #keys(network: Network, bridge: string): ReturnType<typeof networkKeys> {
    const hidden = network.internal || !parseOptions(network).masquerade;
    const cidrs = hidden ? [] : network.subnets.map(({ cidr }) => cidr);
    return networkKeys(bridge, cidrs, network.internal);
  }

  async #holdAgain(call: Call, key: readonly string[]): Promise<number | null> {
    const [protocol, address, port] = key.length === 2 ? [key[0], "0.0.0.0", key[1]] : key;
    if ((protocol !== "tcp" && protocol !== "udp") || address === undefined || port === undefined) return null;
    try {
      return (await this.#host.reservePort(call, protocol, address, Number(port))).reservation;
    } catch {
      // Another program took the port between two daemons. The map still sends its packets to the container, as published.
      call.log.warn(`port ${port}/${protocol} is published, and another program has bound it`);
      return null;
    }
  }
}

/** As in Docker: the address is in the last four bytes, and the bridge's MAC does not change with its ports. */
function hardwareAddress(network: Network): string | null {
  const gateway = network.subnets[0]?.gateway.split(".").map(Number);
  return gateway?.length === 4 ? `02:42:${gateway.map((byte) => byte.toString(16).padStart(2, "0")).join(":")}` : null;
}

/** Writes only a different value: /proc/sys may be read-only, and already right. */
async function setKernel(name: string, value: string): Promise<void> {
  const path = `/proc/sys/${name}`;
  if ((await readFile(path, "utf8")).trim() === value) return;
  try {
    await writeFile(path, value);
  } catch (error) {
    throw fail("PermissionDenied", `${name.replaceAll("/", ".")} has to be ${value}, and can't be set here; set it with sysctl`, {
      cause: error,
      path,
    });
  }
}

function ignore(code: string): (error: unknown) => void {
  return (error) => {
    if (!isTsboxError(error) || error.code !== code) throw error;
  };
}

async function* stream<T>(items: readonly T[]): AsyncIterable<T> {
  yield* items;
}
