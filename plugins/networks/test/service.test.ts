/** The service `networks` over a driver in memory that tests can block: joins, removals and creations that run at the same time. */
import { setImmediate as turn } from "node:timers/promises";
import { suite } from "@tsbox/harness";
import {
  type Attachment,
  createCall,
  type Endpoint,
  type EndpointId,
  type ErrorCode,
  type EventsService,
  fail,
  isTsboxError,
  type LeavingEndpoint,
  type Network,
  type NetworkDriver,
  type NetworkPowers,
  type NetworksService,
  newContainerId,
  type StateService,
  silentLog,
} from "@tsbox/kernel";
import * as assert from "uvu/assert";
import { openNetworks } from "../src/service.ts";

const test = suite("networks: the service");
const call = createCall(silentLog);
const container = newContainerId();

class Links implements NetworkDriver {
  readonly powers: readonly (keyof NetworkPowers)[];
  /** Bridges, with the endpoints on each. */
  readonly bridges: Map<string, Set<EndpointId>> = new Map();
  /** What the next call of this verb waits for. */
  readonly holds: Map<"attach" | "remove", Promise<void>> = new Map();

  answer: Partial<Attachment> = {};
  /** The endpoints that were attached, and those that were detached. */
  readonly entered: Endpoint[] = [];
  readonly left: LeavingEndpoint[] = [];

  constructor(powers: readonly (keyof NetworkPowers)[] = []) {
    this.powers = powers;
  }

  async check(_call: unknown, { options }: Network): Promise<void> {
    if ("color" in options) throw fail("InvalidArgument", "no colors");
  }
  async ensure(_call: unknown, network: Network): Promise<void> {
    if (!this.bridges.has(network.id)) this.bridges.set(network.id, new Set());
  }
  async attach(_call: unknown, network: Network, endpoint: Endpoint): Promise<Attachment> {
    this.entered.push(endpoint);
    await this.holds.get("attach");
    const bridge = this.bridges.get(network.id);
    if (bridge === undefined) throw new Error("no such device");
    bridge.add(endpoint.id);
    return {
      addresses: endpoint.addresses,
      mac: "02:42:00:00:00:01",
      routes: [],
      gateway: null,
      ports: [],
      nameservers: [],
      ...this.answer,
    };
  }
  async detach(_call: unknown, network: Network, endpoint: LeavingEndpoint): Promise<void> {
    this.left.push(endpoint);
    this.bridges.get(network.id)?.delete(endpoint.id);
  }
  async remove(_call: unknown, network: Network): Promise<void> {
    this.bridges.delete(network.id);
    await this.holds.get("remove");
  }
  async list(): Promise<AsyncIterable<EndpointId>> {
    return (async function* () {})();
  }
}

async function world(links = new Links()): Promise<{ readonly networks: NetworksService; readonly links: Links }> {
  const state: Pick<StateService, "list" | "write"> = { list: async () => [], write: () => turn() };
  const events: Pick<EventsService, "publish"> = { publish: async () => {} };
  const { service } = await openNetworks(
    { state: state as StateService, events: events as EventsService, driver: async () => links, preferred: async () => "bridge" },
    call,
  );
  return { networks: service, links };
}

async function refused(work: Promise<unknown>, code: ErrorCode): Promise<void> {
  try {
    await work;
  } catch (error) {
    assert.ok(isTsboxError(error) && error.code === code, String(error));
    return;
  }
  assert.unreachable(`${code} was expected`);
}

test("a network that a container is joining can't be removed", async () => {
  const { networks, links } = await world();
  await networks.create(call, { name: "lan", subnet: "10.231.8.0/24" });
  const gate = Promise.withResolvers<void>();
  links.holds.set("attach", gate.promise);
  const joining = networks.connect(call, "lan", container, "/netns", {});
  await turn();
  await refused(networks.remove(call, "lan"), "PermissionDenied");
  gate.resolve();
  const endpoint = await joining;
  await refused(networks.remove(call, "lan"), "PermissionDenied");
  await networks.disconnect(call, endpoint);
  await networks.remove(call, "lan");
});

test("a join that fails leaves the network as it was", async () => {
  const { networks, links } = await world();
  await networks.create(call, { name: "lan", subnet: "10.231.8.0/24" });
  links.holds.set("attach", Promise.reject(new Error("no room")));
  await networks.connect(call, "lan", container, "/netns", {}).then(
    () => assert.unreachable(),
    () => {},
  );
  await networks.remove(call, "lan");
});

test("a container that joins while the network is removed gets NotFound, or joins when it stays", async () => {
  const { networks, links } = await world();
  for (const outcome of ["stays", "goes"]) {
    if (outcome === "stays") await networks.create(call, { name: "lan", subnet: "10.231.8.0/24" });
    const gate = Promise.withResolvers<void>();
    links.holds.set("remove", gate.promise);
    const removal = networks.remove(call, "lan");
    await turn();
    const joining = networks.connect(call, "lan", container, "/netns", {});
    joining.catch(() => {});
    await turn();
    if (outcome === "stays") {
      gate.reject(new Error("busy"));
      await removal.then(
        () => assert.unreachable(),
        () => {},
      );
      await networks.disconnect(call, await joining);
    } else {
      gate.resolve();
      await removal;
      await refused(joining, "NotFound");
    }
  }
});

test("a subnet that overlaps another network's is refused with Docker's message", async () => {
  const { networks } = await world();
  await networks.create(call, { name: "lan", subnet: "10.231.8.0/24" });
  for (const subnet of ["10.231.8.0/24", "10.231.8.128/25", "10.231.0.0/16"]) {
    const [made] = await Promise.allSettled([networks.create(call, { name: "other", subnet })]);
    assert.match(made?.status === "rejected" ? String(made.reason) : "made", /Pool overlaps with other one on this address space/);
  }
  await networks.create(call, { name: "other", subnet: "10.231.9.0/24" });
});

test("of two that make one name one is refused, and two names never share a subnet", async () => {
  const { networks } = await world();
  const [first, second] = await Promise.allSettled([1, 2].map(() => networks.create(call, { name: "lan", subnet: "10.231.8.0/24" })));
  assert.is(first?.status, "fulfilled");
  assert.is(second?.status, "rejected");
  const made = await Promise.all(["one", "two", "three"].map((name) => networks.create(call, { name })));
  assert.is(new Set(made.map(({ subnets }) => subnets[0]?.cidr)).size, 3);
});

test("a driver's powers say whose namespace its networks have, and whether there may be more of them", async () => {
  const { networks } = await world();
  await networks.create(call, { name: "own" });
  assert.is(await networks.namespace(call, "own"), "new");
  const shared = await world(new Links(["hostNamespace"]));
  await shared.networks.create(call, { name: "shared", driver: "strangers" });
  assert.is(await shared.networks.namespace(call, "shared"), "host");
  const single = await world(new Links(["single"]));
  const error = await single.networks.create(call, { name: "more", driver: "host" }).catch((thrown: unknown) => thrown);
  assert.ok(isTsboxError(error));
  assert.equal([error.code, error.message], ["PermissionDenied", 'only one instance of "host" network is allowed']);
});

test("a network that its driver refuses does not come into being", async () => {
  const { networks } = await world();
  await refused(networks.create(call, { name: "lan", options: { color: "red" } }), "InvalidArgument");
  await refused(networks.get(call, "lan"), "NotFound");
  await networks.create(call, { name: "lan" });
});

test("for a driver that picks addresses no subnet is invented, and the gateway is the one that it answers", async () => {
  const { networks, links } = await world(new Links(["ipam"]));
  links.answer = { addresses: ["192.0.2.7/24"], gateway: "192.0.2.1" };
  assert.equal((await networks.create(call, { name: "own" })).subnets, []);
  await refused(networks.create(call, { name: "odd", gateway: "192.0.2.1" }), "InvalidArgument");
  const any = await networks.connect(call, "own", container, "/netns", {});
  assert.equal([any.attachment.addresses, any.gateway], [["192.0.2.7/24"], "192.0.2.1"]);
  await networks.connect(call, "own", container, "/netns", { address: "192.0.2.9" });
  assert.equal(
    links.entered.map(({ addresses }) => addresses),
    [[], ["192.0.2.9/32"]],
  );
});

test("an endpoint is detached with all that it was attached with", async () => {
  const { networks, links } = await world();
  await networks.create(call, { name: "lan", subnet: "10.231.8.0/24" });
  await networks.disconnect(call, await networks.connect(call, "lan", container, "/netns", { interface: "eth3" }));
  const [entered, left] = [links.entered[0], links.left[0]];
  assert.ok(entered && left);
  for (const key of ["id", "container", "netns", "interface", "addresses", "ports"] as const) assert.equal(left[key], entered[key], key);
});
