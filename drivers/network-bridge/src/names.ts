/**
 * What this driver calls the things that it makes. Interface names have 15 characters: `tsb`, four of the engine's id, a letter, seven of
 * what it stands for.
 */
import type { EndpointId, HostLink, Network, NetworkId } from "@tsbox/kernel";

export function linkPrefix(engineId: string): string {
  return `tsb${engineId.slice(0, 4)}`;
}

export function bridgeName(engineId: string, network: Network): string {
  return network.options["com.docker.network.bridge.name"] ?? `${linkPrefix(engineId)}b${network.id.slice(0, 7)}`;
}

/** Seven digits may meet twice among thousands of endpoints: `attempt` takes others of them. */
export function vethName(engineId: string, endpoint: EndpointId, attempt: number): string {
  return `${linkPrefix(engineId)}v${endpoint.slice(attempt * 7, attempt * 7 + 7)}`;
}
export const vethAttempts = 8;

/** Kept with the end of the pair that stays on the host: whose it is, and where its container answers. */
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
