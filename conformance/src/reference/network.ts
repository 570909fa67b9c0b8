/** The shortest implementation of the network contract, in memory: it does not change network namespaces. */
import {
  type Attachment,
  type Call,
  type Endpoint,
  type EndpointId,
  fail,
  type LeavingEndpoint,
  type Network,
  type NetworkDriver,
} from "@tsbox/kernel";
import { streamOf } from "./storage.ts";

export class ReferenceNetwork implements NetworkDriver {
  readonly powers: readonly [] = [];
  readonly #endpoints: Map<string, Set<EndpointId>> = new Map();

  async check(_call: Call, { name, options }: Network): Promise<void> {
    const [option] = Object.keys(options);
    if (option !== undefined) throw fail("InvalidArgument", `network ${name}: option ${option} is unknown; there are none`);
  }

  async ensure(_call: Call, { id }: Network): Promise<void> {
    if (!this.#endpoints.has(id)) this.#endpoints.set(id, new Set());
  }

  async attach(_call: Call, network: Network, { id, addresses, mac }: Endpoint): Promise<Attachment> {
    this.#of(network).add(id);
    return {
      addresses,
      mac: mac ?? "02:00:00:00:00:01",
      routes: [],
      gateway: network.subnets[0]?.gateway ?? null,
      ports: [],
      nameservers: [],
    };
  }

  async detach(_call: Call, network: Network, { id }: LeavingEndpoint): Promise<void> {
    this.#of(network).delete(id);
  }

  async remove(_call: Call, network: Network): Promise<void> {
    if (this.#of(network).size > 0) throw fail("FailedPrecondition", `network ${network.name} has endpoints: detach them`);
    this.#endpoints.delete(network.id);
  }

  async list(_call: Call, network: Network): Promise<AsyncIterable<EndpointId>> {
    return streamOf([...this.#of(network)]);
  }

  #of({ id, name }: Network): Set<EndpointId> {
    const endpoints = this.#endpoints.get(id);
    if (endpoints === undefined) throw fail("NotFound", `network ${name} is not there: ensure it`);
    return endpoints;
  }
}
