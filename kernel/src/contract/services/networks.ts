/** Networks: names, subnets, addresses and endpoints are the engine's; drivers make them true on this host. */
import type { Call } from "../call.ts";
import type { Attachment, Network, PortMap } from "../network.ts";
import type { ContainerId, EndpointId, NetworkId, Sparse, Strings } from "../words.ts";

export interface NetworkRecord extends Network {
  /** The driver's id: bridge, host, none. */
  readonly driver: string;
  readonly createdAt: number;
  readonly labels: Strings;
  /** Made by the engine itself (bridge, host, none): can't be removed. */
  readonly predefined: boolean;
}

/** A container's place in a network; kept in the container's record. */
export interface EndpointRecord {
  readonly id: EndpointId;
  readonly network: NetworkId;
  readonly networkName: string;
  readonly container: ContainerId;
  readonly interface: string;
  readonly attachment: Attachment;
  /** The first address's gateway, bare. */
  readonly gateway: string | null;
}

export interface NetworksService {
  /** By name, id or beginning of an id. `NotFound`. */
  get(call: Call, name: string): Promise<NetworkRecord>;
  list(call: Call): Promise<readonly NetworkRecord[]>;
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
   * `PermissionDenied`: it is a predefined one, or a container is on it or about to be. Who joins while it is being removed gets
   * `NotFound`.
   */
  remove(call: Call, name: string): Promise<void>;
  /**
   * Takes an address from the pool and joins the namespace at path `netns`. On failure nothing is left. `AlreadyExists`: a host port is
   * taken (text names it); `ResourceExhausted`: the pool is empty.
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
    }>,
  ): Promise<EndpointRecord>;
  /**
   * The namespace may be gone; `live`: it lives on, and the interface is out of it when this answers. The address rests a moment before it
   * is given again. Gone already: no error.
   */
  disconnect(call: Call, endpoint: EndpointRecord, options?: Sparse<{ live: boolean }>): Promise<void>;
  /** After a daemon's death: the endpoints of containers that still run, once, before any `connect`; frees what no one holds. */
  restore(call: Call, endpoints: readonly EndpointRecord[]): Promise<void>;
  /** Whether the network's driver wants a namespace of the container's own: "new"; or the host's: "host". */
  namespace(call: Call, network: string): Promise<"new" | "host">;
}

declare module "../plugin.ts" {
  interface Services {
    networks: NetworksService;
  }
}
