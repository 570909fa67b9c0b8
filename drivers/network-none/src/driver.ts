import {
  type Attachment,
  type Call,
  type Endpoint,
  type EndpointId,
  fail,
  type HostToolkit,
  type Network,
  type NetworkDriver,
  type NetworkPowers,
} from "@tsbox/kernel";

const nothing: Attachment = { addresses: [], mac: "", routes: [], gateway: null, ports: [], nameservers: [] };

/** A network namespace with only its loopback. The driver keeps no records: everything goes with the namespace. */
export class NoneDriver implements NetworkDriver {
  readonly powers: readonly (keyof NetworkPowers)[] = ["single"];
  readonly #host: HostToolkit;

  constructor(host: HostToolkit) {
    this.#host = host;
  }

  async check(_call: Call, network: Network): Promise<void> {
    const [option] = Object.keys(network.options);
    if (option !== undefined) throw fail("InvalidArgument", `network ${network.name}: option ${option} is unknown to none; it knows none`);
  }
  async ensure(): Promise<void> {}
  async attach(call: Call, _network: Network, endpoint: Endpoint): Promise<Attachment> {
    await this.#host.attachLoopback(call, endpoint.netns);
    return nothing;
  }
  async detach(): Promise<void> {}
  async remove(): Promise<void> {}
  async list(): Promise<AsyncIterable<EndpointId>> {
    return none();
  }
}

async function* none(): AsyncIterable<never> {}
