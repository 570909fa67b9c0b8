/** Network drivers with one bug each, and the rule that must catch it. */
import type { Attachment, Call, Endpoint, EndpointId, LeavingEndpoint, Network, PortMap, Sparse } from "@tsbox/kernel";
import { type MemoryHost, ReferenceNetwork } from "../reference/network.ts";

export interface BrokenNetwork {
  readonly bug: string;
  /** The rule that must catch it; others may fail too. */
  readonly rule: string;
  readonly open: (host: MemoryHost) => ReferenceNetwork;
}

const broken = (bug: string, rule: string, driver: new (host: MemoryHost) => ReferenceNetwork): BrokenNetwork => ({
  bug,
  rule,
  open: (host) => new driver(host),
});

export const brokenNetworks: readonly BrokenNetwork[] = [
  broken(
    "options are forgotten instead of refused",
    "network/option-unknown",
    class extends ReferenceNetwork {
      override async check(): Promise<void> {}
    },
  ),
  broken(
    "a check makes the network",
    "network/check-makes-nothing",
    class extends ReferenceNetwork {
      override async check(call: Call, network: Network): Promise<void> {
        await super.check(call, network);
        await this.ensure(call, network);
      }
    },
  ),
  broken(
    "a repeated ensure makes the network anew, without its containers",
    "network/list",
    class extends ReferenceNetwork {
      override async ensure(_call: Call, { id }: Network): Promise<void> {
        this.host.bridges.set(id, new Map());
      }
    },
  ),
  broken(
    "the interface has another name than the wished one",
    "network/attach",
    class extends ReferenceNetwork {
      override async attach(call: Call, network: Network, endpoint: Endpoint): Promise<Attachment> {
        return super.attach(call, network, { ...endpoint, interface: "eth0" });
      }
    },
  ),
  broken(
    "it picks an address though it does not say so",
    "network/attach-given",
    class extends ReferenceNetwork {
      override async attach(call: Call, network: Network, endpoint: Endpoint): Promise<Attachment> {
        return super.attach(call, network, { ...endpoint, addresses: ["10.253.1.99/24"] });
      }
    },
  ),
  broken(
    "each container gets a network of its own",
    "network/neighbours",
    class extends ReferenceNetwork {
      override async attach(call: Call, network: Network, endpoint: Endpoint): Promise<Attachment> {
        const attachment = await super.attach(call, network, endpoint);
        const interfaces = this.host.namespaces.get(endpoint.netns)?.interfaces;
        const made = interfaces?.get(endpoint.interface);
        if (made !== undefined) interfaces?.set(endpoint.interface, { ...made, network: endpoint.id });
        return attachment;
      }
    },
  ),
  broken(
    "every network is the way out",
    "network/no-default-route",
    class extends ReferenceNetwork {
      override async attach(call: Call, network: Network, endpoint: Endpoint): Promise<Attachment> {
        return super.attach(call, network, { ...endpoint, defaultRoute: true });
      }
    },
  ),
  broken(
    "internal networks have a way out",
    "network/internal",
    class extends ReferenceNetwork {
      override async attach(call: Call, network: Network, endpoint: Endpoint): Promise<Attachment> {
        return super.attach(call, { ...network, internal: false }, endpoint);
      }
    },
  ),
  broken(
    "the answer has a gateway that the container does not have",
    "network/routes",
    class extends ReferenceNetwork {
      override async attach(call: Call, network: Network, endpoint: Endpoint): Promise<Attachment> {
        return { ...(await super.attach(call, network, endpoint)), gateway: "10.253.1.254" };
      }
    },
  ),
  broken(
    "the interface stays in a namespace that lives on",
    "network/detach-live",
    class extends ReferenceNetwork {
      override async detach(call: Call, network: Network, endpoint: LeavingEndpoint): Promise<void> {
        return super.detach(call, network, endpoint);
      }
    },
  ),
  broken(
    "an endpoint is forgotten only with all that it was attached with",
    "network/detach-gone",
    class extends ReferenceNetwork {
      override async detach(call: Call, network: Network, endpoint: LeavingEndpoint, options?: Sparse<{ live: boolean }>): Promise<void> {
        if (endpoint.netns !== undefined) await super.detach(call, network, endpoint, options);
      }
    },
  ),
  broken(
    "a network goes with the containers in it",
    "network/remove-attached",
    class extends ReferenceNetwork {
      override async remove(_call: Call, { id }: Network): Promise<void> {
        this.host.bridges.delete(id);
      }
    },
  ),
  broken(
    "a removed network stays on the host",
    "network/remove",
    class extends ReferenceNetwork {
      override async remove(call: Call, network: Network): Promise<void> {
        const { bridges } = this.host;
        await super.remove(call, network);
        bridges.set(network.id, new Map());
      }
    },
  ),
  broken(
    "an endpoint is recorded before its namespace is looked at, and stays",
    "network/attach-fails",
    class extends ReferenceNetwork {
      override async attach(call: Call, network: Network, endpoint: Endpoint): Promise<Attachment> {
        this.attached(network).set(endpoint.id, endpoint);
        return super.attach(call, network, endpoint);
      }
    },
  ),
  broken(
    "the answer has port 0, as it was asked for",
    "network/publish",
    class extends ReferenceNetwork {
      override async attach(call: Call, network: Network, endpoint: Endpoint): Promise<Attachment> {
        return { ...(await super.attach(call, network, endpoint)), ports: endpoint.ports };
      }
    },
  ),
  broken(
    "ports are added to those that are there",
    "network/publish-replaces",
    class extends ReferenceNetwork {
      override async publish(_call: Call, _network: Network, endpoint: EndpointId, ports: readonly PortMap[]): Promise<readonly PortMap[]> {
        return this.hold(endpoint, ports);
      }
    },
  ),
  broken(
    "what an earlier engine attached is not known any more",
    "network/crash",
    class extends ReferenceNetwork {
      readonly #own = new Set<EndpointId>();
      override async attach(call: Call, network: Network, endpoint: Endpoint): Promise<Attachment> {
        this.#own.add(endpoint.id);
        return super.attach(call, network, endpoint);
      }
      override async list(call: Call, network: Network): Promise<AsyncIterable<EndpointId>> {
        const [all, own] = [await super.list(call, network), this.#own];
        return (async function* () {
          for await (const id of all) if (own.has(id)) yield id;
        })();
      }
    },
  ),
];
