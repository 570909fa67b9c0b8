/** The parts of a network rule's world: a new driver, two networks, and namespaces in the place of containers. */
import type { Call, Endpoint, Network, NetworkDriver } from "@tsbox/kernel";
import type { BaseWorld } from "../rule.ts";

export interface NetworkWorld extends BaseWorld {
  readonly driver: NetworkDriver;
  readonly call: Call;
  /** Networks that no other world has. */
  readonly networks: readonly [Network, Network];
  /** A new network namespace; the answer is its path. */
  namespace(): Promise<string>;
  /** Ends the last process of a namespace. */
  end(netns: string): Promise<void>;
  /** An endpoint that no other call has answered, with an address if the engine gives one. */
  endpoint(network: Network, netns: string, more?: Partial<Endpoint>): Endpoint;
  inside(netns: string): Promise<Inside>;
  /** Whether the namespace gets an answer from an address of another. */
  reaches(netns: string, address: string): Promise<boolean>;
  /** The engine dies without cleanup, and a new one opens the same directories: `driver` is another object afterwards. */
  crash(): Promise<void>;
  /** The interfaces of the host, without those that go with a namespace that has ended. */
  onHost(): Promise<readonly string[]>;
}

export interface Inside {
  readonly loopback: boolean;
  /** Interfaces but the loopback. */
  readonly interfaces: readonly { readonly name: string; readonly mac: string; readonly addresses: readonly string[] }[];
  /** The gateways of default routes. */
  readonly gateways: readonly string[];
}
