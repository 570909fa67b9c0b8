/** The contract's verbs: each container gets an interface with a hardware address of its own, on an interface of the host. */
import {
  type Attachment,
  asError,
  type Call,
  type Endpoint,
  type EndpointId,
  fail,
  type HostLink,
  type HostToolkit,
  isTsboxError,
  type LeavingEndpoint,
  type Network,
  type NetworkDriver,
  type NetworkPowers,
  type Sparse,
} from "@tsbox/kernel";
import { parseOptions, vlanOf } from "./options.ts";
import { Records } from "./records.ts";

export class MacvlanDriver implements NetworkDriver {
  readonly powers: readonly (keyof NetworkPowers)[] = [];
  readonly #host: HostToolkit;
  readonly #engineId: string;
  readonly #records: Records;
  /** Networks are made and removed one after another: several may share a VLAN's interface. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(host: HostToolkit, engineId: string, stateDirectory: string) {
    this.#host = host;
    this.#engineId = engineId;
    this.#records = new Records(stateDirectory);
  }

  async check(call: Call, network: Network): Promise<void> {
    const { parent } = parseOptions(network);
    for (const { cidr } of network.subnets)
      if (cidr.includes(":"))
        throw fail("Unsupported", `network ${network.name}: subnet ${cidr} is IPv6, which macvlan does not carry; use IPv4`);
    if (parent === null || (await this.#link(call, parent)) !== null) return;
    const vlan = vlanOf(parent);
    if (vlan !== null && (await this.#link(call, vlan.parent)) !== null) return;
    throw fail(
      "InvalidArgument",
      `network ${network.name}: the host has no interface ${vlan?.parent ?? parent}; give -o parent= one of \`ip link\`, or eth0.10 for VLAN 10 of eth0`,
    );
  }

  ensure(call: Call, network: Network): Promise<void> {
    return this.#alone(async () => {
      const parent = this.#parentOf(network);
      if (parseOptions(network).parent === null) {
        this.#records.setParent(network.id, parent);
        // A bridge without ports connects what is on it, and nothing else.
        return this.#host.ensureBridge(call, { name: parent, addresses: [], mac: null, mtu: null });
      }
      if ((await this.#link(call, parent)) !== null) {
        // A VLAN's interface that this driver made for another network goes with the last of them.
        if (this.#records.isShared(network.id, parent)) this.#records.setParent(network.id, parent);
        return;
      }
      const vlan = vlanOf(parent);
      if (vlan === null) throw gone(network, parent);
      // Recorded first: after a crash between the two, the removal finds nothing to remove.
      this.#records.setParent(network.id, parent);
      try {
        await this.#host.makeVlan(call, { name: parent, parent: vlan.parent, id: vlan.id, alias: this.#alias });
      } catch (error) {
        this.#records.forget(network.id);
        throw isTsboxError(error) && error.code === "NotFound" ? gone(network, vlan.parent) : error;
      }
    });
  }

  async attach(call: Call, network: Network, endpoint: Endpoint): Promise<Attachment> {
    if (endpoint.addresses.length === 0)
      throw fail("InvalidArgument", `endpoint ${endpoint.id.slice(0, 12)} has no address: this driver picks none itself`);
    const { mode, mtu } = parseOptions(network);
    const parent = this.#parentOf(network);
    const gateway = network.internal || parseOptions(network).parent === null ? null : (network.subnets[0]?.gateway ?? null);
    const routes = gateway === null || endpoint.defaultRoute === false ? [] : [{ to: "0.0.0.0/0", via: gateway }];
    const wanted = { parent, mode, mtu, netns: endpoint.netns, interface: endpoint.interface, addresses: endpoint.addresses, routes };
    this.#records.addEndpoint(network.id, endpoint.id);
    try {
      // In mode passthru the interface has its parent's address.
      const { mac } = await this.#host.attachMacvlan(call, { ...wanted, mac: mode === "passthru" ? null : endpoint.mac });
      return { addresses: endpoint.addresses, mac, routes, gateway, ports: [], nameservers: [] };
    } catch (error) {
      this.#records.removeEndpoint(network.id, endpoint.id);
      throw await this.#explain(call, network, parent, asError(error));
    }
  }

  async detach(call: Call, network: Network, endpoint: LeavingEndpoint, options: Sparse<{ live: boolean }> = {}): Promise<void> {
    // Otherwise it goes with its namespace; what the path of that leads to may be another one by now.
    if (options.live && endpoint.netns !== undefined && endpoint.interface !== undefined)
      await this.#host.removeLink(call, endpoint.interface, endpoint.netns).catch(ignoreAbsent);
    this.#records.removeEndpoint(network.id, endpoint.id);
  }

  remove(call: Call, network: Network): Promise<void> {
    return this.#alone(async () => {
      const [first] = this.#records.endpoints(network.id);
      if (first !== undefined)
        throw fail(
          "FailedPrecondition",
          `network ${network.name} has active endpoints (${first.slice(0, 12)}): disconnect their containers first`,
        );
      const made = this.#records.parent(network.id);
      if (made !== null && !this.#records.isShared(network.id, made)) await this.#removeMade(call, made);
      this.#records.forget(network.id);
    });
  }

  async list(_call: Call, network: Network): Promise<AsyncIterable<EndpointId>> {
    return stream(this.#records.endpoints(network.id));
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work);
    this.#last = mine.catch(() => {});
    return mine;
  }

  /** The driver's own parents have 15 characters, as those of bridges: `tsb`, four of the engine's id, a letter, seven of the network's. */
  #parentOf(network: Network): string {
    return parseOptions(network).parent ?? `tsb${this.#engineId.slice(0, 4)}m${network.id.slice(0, 7)}`;
  }

  get #alias(): string {
    return `tsbox ${this.#engineId}`;
  }

  /** A VLAN's name is the operator's: another program may have taken it meanwhile. */
  async #removeMade(call: Call, name: string): Promise<void> {
    const link = await this.#link(call, name);
    if (link?.kind === "vlan" && link.alias !== this.#alias) return;
    if (link !== null) await this.#host.removeLink(call, name).catch(ignoreAbsent);
  }

  async #link(call: Call, name: string): Promise<HostLink | null> {
    return (await this.#host.links(call, name)).find((link) => link.name === name) ?? null;
  }

  /** The kernel refuses a second user of a parent with plain numbers. */
  async #explain(call: Call, network: Network, parent: string, error: Error): Promise<Error> {
    if (!isTsboxError(error)) return error;
    if (error.code === "NotFound" && (await this.#link(call, parent)) === null) return gone(network, parent);
    const isRefused = error.syscall === "make macvlan" && (error.code === "Unavailable" || error.code === "InvalidArgument");
    if (!isRefused) return error;
    const why = `the kernel allows no macvlan interface on ${parent} now`;
    const cure =
      "a container in mode passthru, a bridge or a bond has it for itself, or the MTU is larger than its own; use another parent";
    return fail("FailedPrecondition", `network ${network.name}: ${why}: ${cure}`, { cause: error });
  }
}

const gone = (network: Network, parent: string): Error =>
  fail("FailedPrecondition", `network ${network.name}: its parent interface ${parent} is gone; bring it back, or make another network`);

function ignoreAbsent(error: unknown): void {
  if (!isTsboxError(error) || error.code !== "NotFound") throw error;
}

async function* stream<T>(items: readonly T[]): AsyncIterable<T> {
  yield* items;
}
