import { type Attachment, type Call, type EndpointId, fail, type Network, type NetworkDriver, type NetworkPowers } from "@tsbox/kernel";

const nothing: Attachment = { addresses: [], mac: "", routes: [], gateway: null, ports: [], nameservers: [] };

/** The host's own network: a container shares it, so there is nothing to make, and no port to publish. */
export class HostDriver implements NetworkDriver {
  readonly powers: readonly (keyof NetworkPowers)[] = ["hostNamespace", "single"];

  async check(_call: Call, network: Network): Promise<void> {
    const [option] = Object.keys(network.options);
    if (option !== undefined) throw fail("InvalidArgument", `network ${network.name}: option ${option} is unknown to host; it knows none`);
  }
  async ensure(): Promise<void> {}
  async attach(): Promise<Attachment> {
    return nothing;
  }
  async detach(): Promise<void> {}
  async remove(): Promise<void> {}
  async list(): Promise<AsyncIterable<EndpointId>> {
    return none();
  }
}

async function* none(): AsyncIterable<never> {}
