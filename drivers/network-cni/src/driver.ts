/** The contract's verbs: each is one or more commands of the network's CNI plugins. */
import {
  type Attachment,
  type Call,
  cleanupCall,
  type Endpoint,
  type EndpointId,
  fail,
  type HostToolkit,
  holdPorts,
  type LeavingEndpoint,
  type Network,
  type NetworkDriver,
  type NetworkPowers,
  type PortMap,
  type Publishes,
  releasePorts,
  withCleanup,
} from "@tsbox/kernel";
import { type Configuration, configurationOf, hasCapability, type PluginConfiguration } from "./configuration.ts";
import { Execution, type Invocation } from "./execution.ts";
import { type EndpointState, Records } from "./records.ts";
import { attachmentOf } from "./result.ts";
import type { Settings } from "./settings.ts";

const mapsPorts = ({ capabilities }: PluginConfiguration): boolean => capabilities.portMappings === true;

export class CniDriver implements NetworkDriver, Publishes {
  readonly powers: readonly (keyof NetworkPowers)[] = ["publish", "ipam"];
  readonly #host: HostToolkit;
  readonly #settings: Settings;
  readonly #execution: Execution;
  readonly #records: Records;
  /** The reserved host ports of attached endpoints. */
  readonly #reservations = new Map<EndpointId, readonly number[]>();

  constructor(host: HostToolkit, settings: Settings, stateDirectory: string) {
    this.#host = host;
    this.#settings = settings;
    this.#execution = new Execution(host, settings);
    this.#records = new Records(host, stateDirectory);
  }

  /** Reserves the ports again that an earlier daemon published. */
  async open(call: Call): Promise<void> {
    for (const network of this.#records.networks())
      for (const endpoint of this.#records.endpoints(network)) {
        const ports = this.#records.read(network, endpoint)?.ports ?? [];
        if (ports.length === 0) continue;
        try {
          this.#reservations.set(endpoint, (await holdPorts(call, this.#host, ports)).reservations);
        } catch {
          // Another program took the port between two daemons. The plugin's rules still send its packets to the container.
          call.log.warn(`a published port of endpoint ${endpoint.slice(0, 12)} is bound by another program`);
        }
      }
  }

  async close(call: Call): Promise<void> {
    for (const endpoint of [...this.#reservations.keys()]) await this.#release(call, endpoint);
  }

  async check(_call: Call, network: Network): Promise<void> {
    configurationOf(network, this.#settings);
  }

  async ensure(call: Call, network: Network): Promise<void> {
    await this.check(call, network);
  }

  async attach(call: Call, network: Network, endpoint: Endpoint): Promise<Attachment> {
    const configuration = configurationOf(network, this.#settings);
    refuseUnheard(network, configuration, endpoint);
    if (this.#records.read(network.id, endpoint.id) !== null)
      throw fail("AlreadyExists", `endpoint ${endpoint.id.slice(0, 12)} is attached to network ${network.name} already`);
    return withCleanup(async (cleanup) => {
      const { ports, reservations } = await holdPorts(call, this.#host, endpoint.ports);
      this.#reservations.set(endpoint.id, reservations);
      cleanup.undo(() => this.#release(cleanupCall(call), endpoint.id));
      const state: EndpointState = {
        configuration,
        interface: endpoint.interface,
        runtimeConfig: {
          ...(ports.length === 0 ? {} : { portMappings: mappings(ports) }),
          ...(endpoint.addresses.length === 0 ? {} : { ips: endpoint.addresses.map((address) => address.split("/")[0]) }),
          ...(endpoint.mac === null ? {} : { mac: endpoint.mac }),
        },
        ports,
        result: null,
      };
      // Recorded first: after a crash in the middle, DEL removes what is there.
      cleanup.undo(() => this.#records.forget(cleanupCall(call), network.id, endpoint.id));
      this.#records.write(network.id, endpoint.id, state);
      const netns = await this.#records.pin(call, network.id, endpoint.id, endpoint.netns);
      await this.#host.attachLoopback(call, netns);
      const invocation = { ...state, netns, container: endpoint.id };
      // After a failure the plugins before the failed one have left something.
      cleanup.undo(() => this.#execution.remove(cleanupCall(call), invocation, null));
      const result = await this.#execution.add(call, invocation);
      const attachment = attachmentOf(result, endpoint.interface, configuration.plugins.at(-1)?.type ?? "");
      this.#records.write(network.id, endpoint.id, { ...state, result });
      return { ...attachment, ports };
    });
  }

  /** DEL frees what the plugins hold outside of the namespace, so it runs whether that lives on or not. */
  async detach(call: Call, network: Network, { id }: LeavingEndpoint, _options?: unknown): Promise<void> {
    const state = this.#records.read(network.id, id);
    if (state !== null) await this.#execution.remove(call, this.#invocation(network, id, state), state.result);
    await this.#records.forget(call, network.id, id);
    await this.#release(call, id);
  }

  async publish(call: Call, network: Network, endpoint: EndpointId, wanted: readonly PortMap[]): Promise<readonly PortMap[]> {
    const state = this.#records.read(network.id, endpoint);
    if (state === null) throw fail("NotFound", `endpoint ${endpoint.slice(0, 12)} is not attached to network ${network.name}`);
    if (wanted.length > 0) refuseWithout(network, state.configuration, "portMappings", "ports", "-p");
    if (state.ports.length > 0) await this.#execution.remove(call, this.#invocation(network, endpoint, state), state.result, mapsPorts);
    await this.#release(call, endpoint);
    const { portMappings: _, ...others } = state.runtimeConfig;
    const none: EndpointState = { ...state, ports: [], runtimeConfig: others };
    this.#records.write(network.id, endpoint, none);
    if (wanted.length === 0) return [];
    return withCleanup(async (cleanup) => {
      const { ports, reservations } = await holdPorts(call, this.#host, wanted);
      this.#reservations.set(endpoint, reservations);
      cleanup.undo(() => this.#release(cleanupCall(call), endpoint));
      const next: EndpointState = { ...none, ports, runtimeConfig: { ...others, portMappings: mappings(ports) } };
      cleanup.undo(() => this.#records.write(network.id, endpoint, none));
      this.#records.write(network.id, endpoint, next);
      const invocation = this.#invocation(network, endpoint, next);
      cleanup.undo(() => this.#execution.remove(cleanupCall(call), invocation, state.result, mapsPorts));
      await this.#execution.add(call, invocation, state.result, mapsPorts);
      return ports;
    });
  }

  async remove(_call: Call, network: Network): Promise<void> {
    const [first] = this.#records.endpoints(network.id);
    if (first !== undefined)
      throw fail(
        "FailedPrecondition",
        `network ${network.name} has active endpoints (${first.slice(0, 12)}): disconnect their containers first`,
      );
    this.#records.removeNetwork(network.id);
  }

  async list(_call: Call, network: Network): Promise<AsyncIterable<EndpointId>> {
    return stream(this.#records.endpoints(network.id));
  }

  /** `CNI_CONTAINERID` is the endpoint's id, new at each start: a late DEL can't free an address of the container's next start. */
  #invocation(network: Network, endpoint: EndpointId, state: EndpointState): Invocation {
    return { ...state, container: endpoint, netns: this.#records.netns(network.id, endpoint) };
  }

  async #release(call: Call, endpoint: EndpointId): Promise<void> {
    const reservations = this.#reservations.get(endpoint) ?? [];
    this.#reservations.delete(endpoint);
    await releasePorts(call, this.#host, reservations);
  }
}

/** A wish that none of the list's plugins hears would have no effect. */
function refuseUnheard(network: Network, configuration: Configuration, { ports, addresses, mac }: Endpoint): void {
  if (ports.length > 0) refuseWithout(network, configuration, "portMappings", "ports", "-p");
  if (addresses.length > 0) refuseWithout(network, configuration, "ips", "a wished address", "--ip");
  if (mac !== null) refuseWithout(network, configuration, "mac", "a wished hardware address", "--mac-address");
}

function refuseWithout(network: Network, configuration: Configuration, capability: string, what: string, flag: string): void {
  if (hasCapability(configuration, capability)) return;
  const why = `no plugin of its CNI configuration ${configuration.name} has the capability ${capability}`;
  throw fail("Unsupported", `network ${network.name} supports no ${what}: ${why}; leave out ${flag}, or add such a plugin`);
}

const mappings = (ports: readonly PortMap[]): readonly unknown[] =>
  ports.flatMap(({ protocol, hostAddress, hostPort, containerPort, count }) =>
    Array.from({ length: count }, (_, at) => ({
      hostPort: hostPort + at,
      containerPort: containerPort + at,
      protocol,
      ...(hostAddress === "" || hostAddress === "0.0.0.0" ? {} : { hostIP: hostAddress }),
    })),
  );

async function* stream<T>(items: readonly T[]): AsyncIterable<T> {
  yield* items;
}
