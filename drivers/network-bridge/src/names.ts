/**
 * The names of this driver's interfaces. They have 15 characters: `tsb`, four of the engine's id, a letter for the kind, seven of the
 * network's or endpoint's id.
 */
import type { EndpointId, HostLink, Network, NetworkId } from "@tsbox/kernel";

export function linkPrefix(engineId: string): string {
  return `tsb${engineId.slice(0, 4)}`;
}

export function bridgeName(engineId: string, network: Network): string {
  return network.options["com.docker.network.bridge.name"] ?? `${linkPrefix(engineId)}b${network.id.slice(0, 7)}`;
}

/** Seven digits may collide among thousands of endpoints: each `attempt` takes other digits of the id. */
export function vethName(engineId: string, endpoint: EndpointId, attempt: number): string {
  return `${linkPrefix(engineId)}v${endpoint.slice(attempt * 7, attempt * 7 + 7)}`;
}
export const vethAttempts = 8;

/** The owner of a veth pair, stored with the end on the host: its network, its endpoint, and its container's address. */
export interface LinkOwner {
  readonly network: string;
  readonly endpoint: EndpointId;
  readonly address: string;
}

export function formatAlias(network: NetworkId, endpoint: EndpointId, address: string): string {
  return `${network} ${endpoint} ${address}`;
}

export function parseAlias(link: HostLink): LinkOwner | null {
  const [network, endpoint, address] = link.alias?.split(" ") ?? [];
  if (network === undefined || endpoint === undefined || address === undefined) return null;
  return { network, endpoint: endpoint as EndpointId, address };
}
