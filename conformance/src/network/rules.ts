/** The rules of the network contract, one for each promise. */
import { type Attachment, type Endpoint, isTsboxError, type Network, type PortMap, type Publishes } from "@tsbox/kernel";
import { expect, expectCode, type Rule } from "../rule.ts";
import type { NetworkWorld } from "./world.ts";

const same = (found: unknown, wanted: unknown, what: string): void =>
  expect(JSON.stringify(found) === JSON.stringify(wanted), `${what}: ${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`);

async function listed({ driver, call }: NetworkWorld, network: Network): Promise<readonly string[]> {
  const ids: string[] = [];
  for await (const id of await driver.list(call, network)) ids.push(id);
  return ids.sort();
}

interface Joined {
  readonly netns: string;
  readonly endpoint: Endpoint;
  readonly attachment: Attachment;
}
/** A new namespace in the first network, which is made for it. */
async function joined(world: NetworkWorld, more: Partial<Endpoint> = {}): Promise<Joined> {
  const { driver, call, networks } = world;
  await driver.ensure(call, networks[0]);
  const netns = await world.namespace();
  const endpoint = world.endpoint(networks[0], netns, more);
  return { netns, endpoint, attachment: await driver.attach(call, networks[0], endpoint) };
}

const bare = (attachment: Attachment): string => attachment.addresses[0]?.split("/")[0] ?? "";

const port = (hostPort: number): PortMap => ({ protocol: "tcp", hostAddress: "0.0.0.0", hostPort, containerPort: 80, count: 1 });

/** A driver whose containers have no network namespace of their own attaches nothing. */
const attaches = ["hostNamespace"];
/** A driver with one network connects containers with nothing, or with the host. */
const connects = ["hostNamespace", "single"];

export const networkRules: readonly Rule<NetworkWorld>[] = [
  {
    id: "network/check-makes-nothing",
    contract: "NetworkDriver.check",
    title: "a check makes nothing on the host",
    async run(world) {
      const { driver, call, networks } = world;
      const before = await world.onHost();
      await driver.check(call, networks[0]);
      same(await world.onHost(), before, "interfaces of the host");
      same(await listed(world, networks[0]), [], "endpoints");
    },
  },
  {
    id: "network/option-unknown",
    contract: "An option that the driver does not know",
    title: "an option that the driver does not know is InvalidArgument when the network is created",
    async run({ driver, call, networks: [network] }) {
      const options = { ...network.options, "tsbox-conformance-nonsense": "1" };
      await expectCode(driver.check(call, { ...network, options }), "InvalidArgument");
    },
  },
  {
    id: "network/ensure-again",
    contract: "May be repeated without harm",
    title: "ensure may be repeated, with a container in the network as well",
    async run(world) {
      const { driver, call, networks } = world;
      await driver.ensure(call, networks[0]);
      await driver.ensure(call, networks[0]);
      if (world.powers.includes("hostNamespace")) return;
      const { netns, endpoint } = await joined(world);
      const before = await world.inside(netns);
      await driver.ensure(call, networks[0]);
      same(await world.inside(netns), before, "the namespace");
      await driver.detach(call, networks[0], endpoint, { live: true });
    },
  },
  {
    id: "network/attach",
    contract: "NetworkDriver.attach",
    title: "a namespace has the interface, hardware address and addresses that the driver answers, and a loopback",
    without: attaches,
    async run(world) {
      const { netns, endpoint, attachment } = await joined(world, { interface: "net7" });
      const { loopback, interfaces } = await world.inside(netns);
      expect(loopback, "the loopback interface is not up");
      const wanted = attachment.addresses.length === 0 ? [] : [{ name: endpoint.interface, addresses: attachment.addresses }];
      same(
        interfaces.map(({ name, addresses }) => ({ name, addresses })),
        wanted,
        "interfaces",
      );
      for (const { mac } of interfaces) if (attachment.mac !== "") same(mac, attachment.mac, "hardware address");
      same(attachment.ports, [], "ports");
    },
  },
  {
    id: "network/attach-given",
    contract: "with an address that the engine has picked",
    title: "a driver that picks no addresses gives the one that it is told",
    without: [...connects, "ipam"],
    async run(world) {
      const { endpoint, attachment } = await joined(world);
      same(attachment.addresses, endpoint.addresses, "addresses");
    },
  },
  {
    id: "network/ipam",
    contract: "NetworkPowers.ipam",
    title: "a driver that picks addresses gives two containers two, with their gateway",
    needs: ["ipam"],
    async run(world) {
      const [first, second] = [await joined(world), await joined(world)];
      for (const { attachment } of [first, second]) {
        expect(/^[0-9a-f.:]+\/\d+$/.test(attachment.addresses[0] ?? ""), `no address: ${JSON.stringify(attachment.addresses)}`);
        expect(attachment.gateway !== null, "no gateway");
      }
      expect(bare(first.attachment) !== bare(second.attachment), `both have ${bare(first.attachment)}`);
    },
  },
  {
    id: "network/neighbours",
    contract: "A network driver connects network namespaces",
    title: "two namespaces of a network reach each other",
    without: connects,
    async run(world) {
      const [first, second] = [await joined(world), await joined(world)];
      expect(await world.reaches(first.netns, bare(second.attachment)), "the first does not reach the second");
      expect(await world.reaches(second.netns, bare(first.attachment)), "the second does not reach the first");
    },
  },
  {
    id: "network/routes",
    contract: "The way out of the network",
    title: "the gateway that the driver answers is the namespace's",
    without: attaches,
    unless: ({ powers }) => (powers.includes("ipam") ? "a driver that picks addresses may leave the host's way out to routes" : null),
    async run(world) {
      const { netns, attachment } = await joined(world);
      same((await world.inside(netns)).gateways, attachment.gateway === null ? [] : [attachment.gateway], "default routes");
    },
  },
  {
    id: "network/no-default-route",
    contract: "the container's default route uses another network",
    title: "an endpoint that is not the container's way out gets no default route",
    without: [...attaches, "ipam"],
    async run(world) {
      const { netns } = await joined(world, { defaultRoute: false });
      same((await world.inside(netns)).gateways, [], "default routes");
    },
  },
  {
    id: "network/internal",
    contract: "it uses this one, unless the network is internal",
    title: "in an internal network there is no way out",
    without: [...connects, "ipam"],
    async run(world) {
      const { driver, call } = world;
      const network = { ...world.networks[0], internal: true };
      await driver.check(call, network);
      await driver.ensure(call, network);
      const netns = await world.namespace();
      const { gateway } = await driver.attach(call, network, world.endpoint(network, netns));
      same(gateway, null, "gateway");
      same((await world.inside(netns)).gateways, [], "default routes");
    },
  },
  {
    id: "network/list",
    contract: "NetworkDriver.list",
    title: "a network's endpoints are those that are attached, and no other network's",
    without: connects,
    async run(world) {
      const { driver, call, networks } = world;
      const [first, second] = [await joined(world), await joined(world)];
      await driver.ensure(call, networks[1]);
      same(await listed(world, networks[0]), [first.endpoint.id, second.endpoint.id].sort(), "endpoints");
      same(await listed(world, networks[1]), [], "endpoints of the other network");
      await driver.detach(call, networks[0], first.endpoint);
      same(await listed(world, networks[0]), [second.endpoint.id], "endpoints after one has left");
    },
  },
  {
    id: "network/detach-live",
    contract: "the namespace lives on, and has nothing of the endpoint when this answers",
    title: "a namespace that lives on has nothing of an endpoint that was detached",
    without: attaches,
    async run(world) {
      const { driver, call, networks } = world;
      const { netns, endpoint } = await joined(world);
      await driver.detach(call, networks[0], endpoint, { live: true });
      const { interfaces, gateways } = await world.inside(netns);
      same([interfaces, gateways], [[], []], "interfaces and default routes");
      // The same name is free again.
      const next = world.endpoint(networks[0], netns);
      await driver.attach(call, networks[0], next);
    },
  },
  {
    id: "network/detach-gone",
    contract: "The namespace may be gone already",
    title: "an endpoint is detached after its namespace, and again, and by its id alone",
    without: attaches,
    async run(world) {
      const { driver, call, networks } = world;
      const [first, second] = [await joined(world), await joined(world)];
      await world.end(first.netns);
      await world.end(second.netns);
      await driver.detach(call, networks[0], first.endpoint);
      await driver.detach(call, networks[0], first.endpoint);
      await driver.detach(call, networks[0], { id: second.endpoint.id });
      same(await listed(world, networks[0]), [], "endpoints");
    },
  },
  {
    id: "network/remove-attached",
    contract: "`FailedPrecondition` while an endpoint is attached",
    title: "a network with a container in it is not removed, and works on",
    without: connects,
    async run(world) {
      const { driver, call, networks } = world;
      const first = await joined(world);
      await expectCode(driver.remove(call, networks[0]), "FailedPrecondition");
      const second = await joined(world);
      expect(await world.reaches(first.netns, bare(second.attachment)), "it does not work any more");
    },
  },
  {
    id: "network/remove",
    contract: "NetworkDriver.remove",
    title: "a removed network leaves nothing on the host, and can be made again",
    async run(world) {
      const { driver, call, networks } = world;
      const before = await world.onHost();
      for (let time = 0; time < 2; time += 1) {
        await driver.ensure(call, networks[0]);
        if (!world.powers.includes("hostNamespace")) {
          const { endpoint, netns } = await joined(world);
          await driver.detach(call, networks[0], endpoint, { live: true });
          await world.end(netns);
        }
        await driver.remove(call, networks[0]);
        same(await world.onHost(), before, "interfaces of the host");
      }
      // Of a network that was never made, or is removed already, nothing is there.
      await driver.remove(call, networks[0]);
    },
  },
  {
    id: "network/attach-fails",
    contract: "NetworkDriver.attach",
    title: "an attach to a namespace that is gone fails in words, and leaves nothing",
    without: attaches,
    async run(world) {
      const { driver, call, networks } = world;
      await driver.ensure(call, networks[0]);
      const before = await world.onHost();
      const failure = await driver.attach(call, networks[0], world.endpoint(networks[0], "/proc/0/ns/net")).then(
        () => null,
        (error: unknown) => error,
      );
      expect(failure !== null, "it is attached to nothing");
      expect(isTsboxError(failure), `an error that is not ours: ${String(failure)}`);
      same(await listed(world, networks[0]), [], "endpoints");
      same(await world.onHost(), before, "interfaces of the host");
    },
  },
  {
    id: "network/publish",
    contract: "The published ports: no host port is 0",
    title: "a published port has a number, is AlreadyExists for others, and is free after the container",
    needs: ["publish"],
    async run(world) {
      const { driver, call, networks } = world;
      const { endpoint, attachment } = await joined(world, { ports: [port(0)] });
      const [published] = attachment.ports;
      expect(published !== undefined && published.hostPort > 0, `no port: ${JSON.stringify(attachment.ports)}`);
      same({ ...published, hostPort: 0 }, port(0), "port");
      await expectCode(joined(world, { ports: [published] }), "AlreadyExists");
      same(await listed(world, networks[0]), [endpoint.id], "endpoints");
      await driver.detach(call, networks[0], endpoint, { live: true });
      same((await joined(world, { ports: [published] })).attachment.ports, [published], "ports of the next");
    },
  },
  {
    id: "network/publish-replaces",
    contract: "the new list replaces the old one",
    title: "another list of ports replaces the first, whose ports are free then",
    needs: ["publish"],
    async run(world) {
      const { call, networks } = world;
      const driver = world.driver as typeof world.driver & Publishes;
      const [first, second] = [await joined(world, { ports: [port(0)] }), await joined(world)];
      const { ports } = first.attachment;
      const others = await driver.publish(call, networks[0], second.endpoint.id, [port(0)]);
      expect(others[0] !== undefined && others[0].hostPort > 0, "no port");
      await expectCode(driver.publish(call, networks[0], second.endpoint.id, ports), "AlreadyExists");
      same(await driver.publish(call, networks[0], first.endpoint.id, []), [], "ports of the first");
      same(await driver.publish(call, networks[0], second.endpoint.id, ports), ports, "ports of the second");
      same(await driver.publish(call, networks[0], first.endpoint.id, others), others, "ports of the first again");
      const other = world.endpoint(networks[0], first.netns).id;
      await expectCode(driver.publish(call, networks[0], other, [port(0)]), "NotFound");
    },
  },
  {
    id: "network/crash",
    contract: "so that forgotten objects can be found and removed",
    title: "after the engine's death another one knows the endpoints, and removes them by their ids",
    without: connects,
    async run(world) {
      const { call, networks } = world;
      const before = await world.onHost();
      const [first, second] = [await joined(world), await joined(world)];
      await world.crash();
      same(await listed(world, networks[0]), [first.endpoint.id, second.endpoint.id].sort(), "endpoints");
      await expectCode(world.driver.remove(call, networks[0]), "FailedPrecondition");
      const third = await joined(world);
      expect(await world.reaches(third.netns, bare(first.attachment)), "it does not work any more");
      for (const { netns, endpoint } of [first, second, third]) {
        await world.end(netns);
        await world.driver.detach(call, networks[0], { id: endpoint.id });
      }
      await world.driver.remove(call, networks[0]);
      same(await world.onHost(), before, "interfaces of the host");
    },
  },
];
