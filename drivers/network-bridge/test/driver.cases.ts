import assert from "node:assert/strict";
import { type Case, suite } from "@tsbox/harness";
import { isTsboxError, type Network, type PortMap } from "@tsbox/kernel";
import { BridgeDriver } from "../src/driver.ts";
import { ask, call, command, endpoint, namespace, network, serve, toolkit } from "./world.ts";

const own = "/proc/self/ns/net";
const test = suite("network-bridge");
const code = (wanted: string) => (error: unknown) => isTsboxError(error) && error.code === wanted;
const port = (hostPort: number, containerPort: number, more: Partial<PortMap> = {}): PortMap => ({
  protocol: "tcp",
  hostAddress: "0.0.0.0",
  hostPort,
  containerPort,
  count: 1,
  ...more,
});

interface World {
  readonly driver: BridgeDriver;
  /** Another daemon of the same engine. */
  again(): Promise<BridgeDriver>;
  ensure(made: Network): Promise<Network>;
}

/** A driver, with a check after the case that it has left nothing. */
async function world(current: Case): Promise<World> {
  const host = await toolkit(current);
  const engine = Math.random().toString(16).slice(2, 6).padEnd(4, "0");
  await command("ip", "link", "set", "lo", "up");
  const make = (): BridgeDriver => new BridgeDriver(host, engine, () => call);
  const driver = make();
  const networks: Network[] = [];
  current.cleanup(async () => {
    // Attachments that a case left are removed with their namespaces, which may take a moment.
    const last = make();
    await last.open(call);
    for (const one of networks) {
      for await (const id of await last.list(call, one)) await last.detach(call, one, { id });
      await last.remove(call, one);
    }
    await driver.close(call);
    await last.close(call);
    assert.deepEqual(await host.links(call, `tsb${engine}`), []);
    assert.deepEqual(await host.firewallTables(call, `tsbox-${engine}`), []);
  });
  return {
    driver,
    async again() {
      const next = make();
      await next.open(call);
      return next;
    },
    async ensure(made) {
      networks.push(made);
      await driver.ensure(call, made);
      return made;
    },
  };
}

test("a container reaches its host, its neighbours and, with the host's address, what lies beyond", async (current) => {
  const { driver, ensure } = await world(current);
  const [first, second, outside] = [await namespace(current), await namespace(current), await namespace(current)];
  const net = await ensure(network("1"));
  const attached = await driver.attach(call, net, endpoint(net, 1, first, { mac: "02:42:0a:65:00:02" }));
  await driver.attach(call, net, endpoint(net, 2, second));
  assert.deepEqual(attached, {
    addresses: ["10.101.0.2/24"],
    mac: "02:42:0a:65:00:02",
    routes: [{ to: "0.0.0.0/0", via: "10.101.0.1" }],
    gateway: "10.101.0.1",
    ports: [],
    nameservers: [],
  });
  await command("ip", "link", "add", "out0", "type", "veth", "peer", "name", "out1", "netns", outside.split("/")[2] ?? "");
  current.cleanup(() => command("ip", "link", "del", "out0"));
  await command("ip", "addr", "add", "192.0.2.1/24", "dev", "out0");
  await command("ip", "link", "set", "out0", "up");
  await command(
    "nsenter",
    `--net=${outside}`,
    "sh",
    "-c",
    "ip addr add 192.0.2.2/24 dev out1; ip link set out1 up; ip route add 10.101.0.0/24 via 192.0.2.1",
  );
  await serve(current, outside, 80);
  await serve(current, second, 80);
  await serve(current, own, 81);
  assert.equal(await ask(first, "192.0.2.2", 80), "192.0.2.1");
  assert.equal(await ask(first, "10.101.0.3", 80), "10.101.0.2");
  assert.equal(await ask(first, "10.101.0.1", 81), "10.101.0.2");
  assert.equal(await ask(own, "10.101.0.3", 80), "10.101.0.1");
  assert.equal(await ask(outside, "10.101.0.3", 80), null, "what is not published is not reached from outside, route or not");
});

test("published ports answer on every address, on 127.0.0.1, to the container itself and to its neighbours", async (current) => {
  const { driver, ensure } = await world(current);
  const [first, second] = [await namespace(current), await namespace(current)];
  const net = await ensure(network("2"));
  const ports = [
    port(8080, 80),
    port(9000, 90, { count: 3 }),
    port(7000, 80, { hostAddress: "127.0.0.1" }),
    port(0, 80),
    port(8080, 53, { protocol: "udp" }),
  ];
  const { ports: published } = await driver.attach(call, net, endpoint(net, 1, first, { ports }));
  await driver.attach(call, net, endpoint(net, 2, second));
  const free = published[3]?.hostPort ?? 0;
  assert.ok(free > 0);
  await serve(current, first, 80);
  await serve(current, first, 92);
  for (const [netns, address, number, from] of [
    [own, "127.0.0.1", 8080, "10.102.0.1"],
    [own, "10.102.0.1", 8080, "10.102.0.1"],
    [own, "127.0.0.1", 9002, "10.102.0.1"],
    [own, "127.0.0.1", 7000, "10.102.0.1"],
    [own, "127.0.0.1", free, "10.102.0.1"],
    [second, "10.102.0.1", 8080, "10.102.0.1"],
    [first, "10.102.0.1", 8080, "10.102.0.1"],
  ] as const) {
    assert.equal(await ask(netns, address, number), from, `${netns} ${address}:${number}`);
  }
  assert.equal(await ask(second, "10.102.0.1", 7000), null, "published on 127.0.0.1 alone");
  await assert.rejects(
    driver.attach(call, net, endpoint(net, 3, await namespace(current), { ports: [port(9001, 1)] })),
    code("AlreadyExists"),
  );
  const live: string[] = [];
  for await (const id of await driver.list(call, net)) live.push(id);
  assert.equal(live.length, 2, "the refused one has left nothing");
  assert.deepEqual(await driver.publish(call, net, endpoint(net, 2, second).id, [port(8181, 80)]), [port(8181, 80)]);
  await driver.publish(call, net, endpoint(net, 1, first).id, []);
  assert.equal(await ask(own, "127.0.0.1", 8080), null);
});

test("networks are apart, and an internal one has no way out", async (current) => {
  const { driver, ensure } = await world(current);
  const [first, other, inner] = [await namespace(current), await namespace(current), await namespace(current)];
  const net = await ensure(network("3"));
  const second = await ensure(network("4"));
  const internal = await ensure(network("5", { internal: true }));
  await driver.attach(call, net, endpoint(net, 1, first));
  await driver.attach(call, second, endpoint(second, 1, other));
  const { routes } = await driver.attach(call, internal, endpoint(internal, 1, inner));
  assert.deepEqual(routes, []);
  await command("nsenter", `--net=${inner}`, "ip", "route", "add", "default", "via", "10.105.0.1");
  await serve(current, other, 80);
  await serve(current, inner, 80);
  assert.equal(await ask(first, "10.104.0.2", 80), null);
  assert.equal(await ask(first, "10.105.0.2", 80), null);
  assert.equal(await ask(inner, "10.104.0.2", 80), null);
  assert.equal(await ask(own, "10.105.0.2", 80), "10.105.0.1");
});

test("the host's own loopback stays the host's", async (current) => {
  const { driver, ensure } = await world(current);
  const first = await namespace(current);
  const net = await ensure(network("6"));
  await driver.attach(call, net, endpoint(net, 1, first));
  await serve(current, own, 82);
  await command(
    "nsenter",
    `--net=${first}`,
    "sh",
    "-c",
    "echo 1 >/proc/sys/net/ipv4/conf/eth0/route_localnet; ip addr flush dev lo; ip route del local 127.0.0.0/8 table local 2>/dev/null; ip route add 127.0.0.1 via 10.106.0.1",
  );
  assert.equal(await ask(first, "127.0.0.1", 82), null);
});

test("a new daemon finds what the old one made, and takes it down", async (current) => {
  const { driver, again, ensure } = await world(current);
  const first = await namespace(current);
  const net = await ensure(network("7"));
  const one = endpoint(net, 1, first, { ports: [port(8080, 80)] });
  await driver.attach(call, net, one);
  await serve(current, first, 80);
  await driver.close(call);
  const next = await again();
  const live: string[] = [];
  for await (const id of await next.list(call, net)) live.push(id);
  assert.deepEqual(live, [one.id]);
  assert.equal(await ask(own, "127.0.0.1", 8080), "10.107.0.1");
  await assert.rejects(
    next.attach(call, net, endpoint(net, 2, await namespace(current), { ports: [port(8080, 80)] })),
    code("AlreadyExists"),
  );
  await assert.rejects(next.remove(call, net), code("FailedPrecondition"));
  await next.ensure(call, net);
  await next.detach(call, net, one);
  assert.equal(await ask(own, "127.0.0.1", 8080), null);
  await next.detach(call, net, one);
  await next.remove(call, net);
  await next.ensure(call, net);
  await next.close(call);
});

test("an impossible request is refused with a message", async (current) => {
  const { driver, ensure } = await world(current);
  const net = await ensure(network("8"));
  await assert.rejects(driver.check(call, network("9", { options: { color: "red" } })), code("InvalidArgument"));
  await assert.rejects(driver.check(call, network("9", { subnets: [{ cidr: "fd00::/64", gateway: "fd00::1" }] })), code("Unsupported"));
  await assert.rejects(driver.ensure(call, network("9", { subnets: [{ cidr: "fd00::/64", gateway: "fd00::1" }] })), code("Unsupported"));
  await assert.rejects(driver.ensure(call, network("9", { options: { "com.docker.network.bridge.name": "lo" } })), code("AlreadyExists"));
  const netns = await namespace(current);
  await assert.rejects(driver.attach(call, net, endpoint(net, 1, netns, { addresses: [] })), code("InvalidArgument"));
  await assert.rejects(
    driver.attach(call, net, endpoint(net, 1, netns, { ports: [port(65_535, 1, { count: 2 })] })),
    code("InvalidArgument"),
  );
  await assert.rejects(driver.attach(call, net, endpoint(net, 1, `${netns}-gone`)), code("NotFound"));
  await assert.rejects(driver.publish(call, net, endpoint(net, 1, netns).id, []), code("NotFound"));
});

test("a bridge that was removed from outside is made again", async (current) => {
  const { driver, ensure } = await world(current);
  const net = await ensure(network("a"));
  const bridge = (await command("ip", "-o", "link", "show", "type", "bridge")).split(": ")[1] ?? "";
  await command("ip", "link", "del", bridge);
  const netns = await namespace(current);
  await driver.attach(call, net, endpoint(net, 1, netns));
  assert.match(await command("ip", "-o", "addr", "show", bridge), /10\.110\.0\.1\/24/);
});

test("two engines keep apart", async (current) => {
  const [one, other] = [await world(current), await world(current)];
  const net = await one.ensure(network("b"));
  await other.ensure(network("c"));
  const netns = await namespace(current);
  await one.driver.attach(call, net, endpoint(net, 1, netns, { ports: [port(8080, 80)] }));
  await serve(current, netns, 80);
  await other.driver.remove(call, network("c"));
  assert.equal(await ask(own, "127.0.0.1", 8080), "10.111.0.1");
});

test("attaching without ports writes no rule", async (current) => {
  const { driver, ensure } = await world(current);
  const net = await ensure(network("d"));
  const namespaces = await Promise.all(Array.from({ length: 20 }, () => namespace(current)));
  const before = await command("nft", "list", "ruleset");
  for (const [at, netns] of namespaces.entries()) await driver.attach(call, net, endpoint(net, at + 1, netns));
  assert.equal(await command("nft", "list", "ruleset"), before);
});
