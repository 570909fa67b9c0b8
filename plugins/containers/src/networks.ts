/**
 * The networks of a container: those that its next start joins, in order, and its endpoints while it runs. The first network provides the
 * published ports and the default route.
 */
import { appendFileSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Call,
  type Container,
  type ContainerConfig,
  type ContainerId,
  cleanupCall,
  type EndpointRecord,
  fail,
  type NetworkWish,
  type PortMap,
  withCleanup,
} from "@tsbox/kernel";
import { diskDirectory } from "./directories.ts";
import type { Engine, Place } from "./engine.ts";
import { networkPeer } from "./namespaces.ts";
import { hostNames } from "./spec/files.ts";

/** The largest /etc/hosts that is edited, in bytes. */
const longestHosts = 1 << 20;

/** Connects all networks or none. `netns` null: the host's network namespace. */
export async function connectAll(
  engine: Pick<Engine, "networks">,
  call: Call,
  record: Container,
  netns: string | null,
): Promise<readonly EndpointRecord[]> {
  if (netns === null || networkPeer(record.config) !== null) return [];
  return withCleanup(async (cleanup) => {
    const endpoints: EndpointRecord[] = [];
    // A container that has left all networks still gets a loopback interface.
    const wishes = record.networks.length > 0 ? record.networks : [{ network: "none", address: null, mac: null }];
    for (const wish of wishes) {
      const endpoint = await enter(engine, call, record, netns, wish, endpoints);
      cleanup.undo(() => engine.networks.disconnect(cleanupCall(call), endpoint));
      endpoints.push(endpoint);
    }
    return endpoints;
  });
}

/** `others`: the container's existing endpoints. `previous`: the one that this replaces, whose addresses it gets again if it may. */
function enter(
  engine: Pick<Engine, "networks">,
  call: Call,
  { id, config }: Container,
  netns: string,
  { network, address, mac }: NetworkWish,
  others: readonly EndpointRecord[],
  previous?: EndpointRecord,
): Promise<EndpointRecord> {
  const first = others.length === 0;
  let number = 0;
  while (others.some((endpoint) => endpoint.interface === `eth${number}`)) number += 1;
  return engine.networks.connect(call, network, id, netns, {
    ports: first ? portsOf(config) : [],
    hostname: config.hostname,
    interface: `eth${number}`,
    defaultRoute: first,
    ...(address === null ? {} : { address }),
    ...(mac === null ? {} : { mac }),
    ...(previous === undefined ? {} : { previous }),
  });
}

/** The published ports. With `-P`, also all other exposed ports, each on a free port of the host. */
function portsOf({ ports, publishAll, exposedPorts }: ContainerConfig): readonly PortMap[] {
  if (!publishAll) return ports;
  const exposed = exposedPorts.map((entry): PortMap => {
    const [port = "", protocol = "tcp"] = entry.split("/");
    return { protocol: protocol as PortMap["protocol"], hostAddress: "0.0.0.0", hostPort: 0, containerPort: Number(port), count: 1 };
  });
  const published = (one: PortMap): boolean =>
    ports.some(
      (port) =>
        port.protocol === one.protocol && one.containerPort >= port.containerPort && one.containerPort < port.containerPort + port.count,
    );
  return [...ports, ...exposed.filter((one) => !published(one))];
}

const runs = ({ status }: Container): boolean => status === "running" || status === "paused";

/** The caller holds the container's lock. A running container gets one more interface; another joins the network at its next start. */
export async function connectNetwork(
  engine: Place & Pick<Engine, "networks" | "records">,
  call: Call,
  record: Container,
  wish: NetworkWish,
): Promise<void> {
  const network = await engine.networks.get(call, wish.network);
  await refuseShared(engine, call, record, network.name);
  if (record.networks.some((one) => one.network === network.name))
    throw fail("PermissionDenied", `endpoint with name ${record.name} already exists in network ${network.name}`);
  const named = { ...wish, network: network.name };
  const networks = [...record.networks, named];
  if (!runs(record)) {
    await engine.records.save(call, { ...record, networks });
    return;
  }
  const endpoint = await enter(engine, call, record, netnsOf(record), named, record.endpoints);
  const joined = await engine.records.save(call, {
    ...engine.records.byId(record.id),
    networks,
    endpoints: [...record.endpoints, endpoint],
  });
  nameEndpoint(engine, joined, endpoint);
}

/** The caller holds the container's lock. `force`: it is no error that the container is not connected. */
export async function disconnectNetwork(
  engine: Place & Pick<Engine, "networks" | "records">,
  call: Call,
  record: Container,
  name: string,
  force: boolean,
): Promise<void> {
  const network = await engine.networks.get(call, name);
  await refuseShared(engine, call, record, network.name);
  if (!record.networks.some((one) => one.network === network.name)) {
    if (force) return;
    throw fail("PermissionDenied", `container ${record.id} is not connected to network ${network.name}`);
  }
  const networks = record.networks.filter((one) => one.network !== network.name);
  const leaving = record.endpoints.find((endpoint) => endpoint.network === network.id);
  if (leaving === undefined) {
    await engine.records.save(call, { ...record, networks });
    return;
  }
  const first = record.endpoints[0] === leaving;
  await engine.networks.disconnect(call, leaving, { live: true });
  forgetEndpoint(engine, record.id, leaving);
  const rest = record.endpoints.filter((endpoint) => endpoint !== leaving);
  const left = await engine.records.save(call, { ...engine.records.byId(record.id), networks, endpoints: rest });
  // The default route and the published ports went with the first network: the next one takes over.
  const [next, ...others] = rest;
  const wish = networks.find((one) => one.network === next?.networkName);
  if (!first || next === undefined || wish === undefined) return;
  await engine.networks.disconnect(call, next, { live: true });
  forgetEndpoint(engine, record.id, next);
  const endpoint = await enter(engine, call, left, netnsOf(left), wish, [], next);
  nameEndpoint(engine, await engine.records.save(call, { ...engine.records.byId(record.id), endpoints: [endpoint, ...others] }), endpoint);
}

const netnsOf = (record: Container): string => `/proc/${record.pid}/ns/net`;

/** Whether the container has its own network namespace. Its first network may have been removed if the container has left it. */
export async function ownsNamespace(
  engine: Pick<Engine, "networks">,
  call: Call,
  { config, networks }: Pick<Container, "config" | "networks">,
): Promise<boolean> {
  if (networkPeer(config) !== null) return false;
  const [first] = networks;
  return first === undefined || (await engine.networks.namespace(call, first.network)) === "new";
}

/** A container without its own network namespace can't join or leave networks. */
async function refuseShared(engine: Pick<Engine, "networks">, call: Call, record: Container, network: string): Promise<void> {
  const { config } = record;
  if (!(await ownsNamespace(engine, call, record)))
    throw fail(
      "PermissionDenied",
      "container sharing network namespace with another container or host cannot be connected to any other network",
    );
  if ((await engine.networks.namespace(call, network)) === "host")
    throw fail("PermissionDenied", "container cannot be disconnected from host network or connected to host network");
  if (config.network === "none" || network === "none")
    throw fail("PermissionDenied", "container cannot be connected to multiple networks with one of the networks in private (none) mode");
}

/** Adds a name to /etc/hosts. The file is written in place, because it is mounted in the container. */
function nameEndpoint(engine: Place, { id, config }: Container, endpoint: EndpointRecord): void {
  const name = hostNames(config.hostname || id.slice(0, 12), config.domainname);
  appendFileSync(
    hostsOf(engine, id),
    addressesOf(endpoint)
      .map((address) => `${address}\t${name}\n`)
      .join(""),
  );
}

function forgetEndpoint(engine: Place, id: ContainerId, endpoint: EndpointRecord): void {
  const path = hostsOf(engine, id);
  // The container can write the file, too: a file that it has made too large is left as it is.
  if (statSync(path).size > longestHosts) return;
  const gone = new Set(addressesOf(endpoint));
  const lines = readFileSync(path, "utf8").split("\n");
  writeFileSync(path, lines.filter((line) => !gone.has(line.split("\t")[0] ?? "")).join("\n"));
}

const hostsOf = (engine: Place, id: ContainerId): string => join(diskDirectory(engine, id), "hosts");
const addressesOf = (endpoint: EndpointRecord): readonly string[] =>
  endpoint.attachment.addresses.map((address) => address.split("/")[0] ?? "");
