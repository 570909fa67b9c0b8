import type { Attachment, EndpointId, NetworkDriver, NetworkPowers } from "@tsbox/kernel";

const nothing: Attachment = { addresses: [], mac: "", routes: [], ports: [], nameservers: [] };

/** The host's own network: a container shares it, so there is nothing to make, and no port to publish. */
export class HostDriver implements NetworkDriver {
  readonly powers: readonly (keyof NetworkPowers)[] = ["hostNamespace", "single"];

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
