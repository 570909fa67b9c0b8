/** Networks: the engine owns names, subnets, addresses and endpoints; drivers carry them out on this host. */
import type { Call } from "../call.ts";
import type { Attachment, Network, PortMap } from "../network.ts";
import type { ContainerId, EndpointId, NetworkId, Sparse, Strings } from "../words.ts";

export interface NetworkRecord extends Network {
  /** The driver's id: bridge, host, none. */
  readonly driver: string;
  readonly createdAt: number;
  readonly labels: Strings;
  /** Made by the engine itself (bridge, host, none); it can't be removed. */
  readonly predefined: boolean;
}

/** A container's place in a network; kept in the container's record. */
export interface EndpointRecord {
  readonly id: EndpointId;
  readonly network: NetworkId;
  readonly networkName: string;
  readonly container: ContainerId;
  /** The path of its network namespace, which may be gone. Left out by versions before 1.1. */
  readonly netns?: string;
  readonly interface: string;
  readonly attachment: Attachment;
  /** The gateway of the first address, without a prefix length. */
  readonly gateway: string | null;
}

export interface NetworksService {
  /** By name, id or prefix of an id. `NotFound`. */
  get(call: Call, name: string): Promise<NetworkRecord>;
  list(call: Call): Promise<readonly NetworkRecord[]>;
  /**
   * The driver checks the network before it is recorded: an option that it does not know is `InvalidArgument`. A driver that picks
   * addresses itself gets no subnet but the given one.
   */
  create(
    call: Call,
    options: { readonly name: string } & Sparse<{
      driver: string;
      subnet: string;
      gateway: string;
      internal: boolean;
      labels: Strings;
      options: Strings;
    }>,
  ): Promise<NetworkRecord>;
  /**
   * `PermissionDenied`: it is predefined, or a container is on it or about to join. A container that joins during the removal gets
   * `NotFound`.
   */
  remove(call: Call, name: string, options?: Sparse<{ force: boolean }>): Promise<void>;
  /**
   * Takes an address from the pool and connects the namespace at path `netns`. After a failure nothing remains. `AlreadyExists`: a host
   * port is taken (the message names it); `ResourceExhausted`: the pool is empty.
   */
  connect(
    call: Call,
    network: string,
    container: ContainerId,
    netns: string,
    options: Sparse<{
      ports: readonly PortMap[];
      address: string;
      mac: string;
      interface: string;
      hostname: string;
      defaultRoute: boolean;
      /** An endpoint that is gone: its addresses are kept, unless `address` or `mac` say otherwise, or the driver picks them. */
      previous: EndpointRecord;
    }>,
  ): Promise<EndpointRecord>;
  /**
   * The namespace may be gone; `live`: it lives on, and the interface is out of it when this answers. The address is not given again for a
   * moment. An endpoint that is gone already is not an error.
   */
  disconnect(call: Call, endpoint: EndpointRecord, options?: Sparse<{ live: boolean }>): Promise<void>;
  /**
   * After a daemon's death: takes the endpoints of containers that still run, once, before any `connect`; frees those that no container
   * holds.
   */
  restore(call: Call, endpoints: readonly EndpointRecord[]): Promise<void>;
  /** The network namespace that the network's driver needs: one for the container ("new"), or the host's ("host"). */
  namespace(call: Call, network: string): Promise<"new" | "host">;
}

declare module "../plugin.ts" {
  interface Services {
    networks: NetworksService;
  }
}
