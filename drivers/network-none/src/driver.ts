import type { Attachment, Call, Endpoint, EndpointId, HostToolkit, Network, NetworkDriver, NetworkPowers } from "@tsbox/kernel";

const nothing: Attachment = { addresses: [], mac: "", routes: [], ports: [], nameservers: [] };

/** A network namespace with only its loopback. The driver keeps no records: everything goes with the namespace. */
export class NoneDriver implements NetworkDriver {
  readonly powers: readonly (keyof NetworkPowers)[] = ["single"];
  readonly #host: HostToolkit;

  constructor(host: HostToolkit) {
    this.#host = host;
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
