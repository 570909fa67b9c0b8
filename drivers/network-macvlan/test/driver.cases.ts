import assert from "node:assert/strict";
import { suite } from "@tsbox/harness";
import { isTsboxError } from "@tsbox/kernel";
import { call, command, endpoint, isAlone, namespace, network, reaches, within, world } from "./world.ts";

const test = suite("network-macvlan");
const code = (wanted: string) => (error: unknown) => isTsboxError(error) && error.code === wanted;

async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of stream) items.push(item);
  return items;
}

test("bridge: containers reach each other and what is beyond the parent", async (t) => {
  const { driver, outside, host } = await world(t);
  const net = network("1", { parent: "par0" });
  await driver.check(call, net);
  await driver.ensure(call, net);
  const [first, second] = [await namespace(t), await namespace(t)];
  const attached = await driver.attach(call, net, endpoint(5, first));
  assert.deepEqual(attached, {
    addresses: ["10.77.0.5/24"],
    mac: "02:42:0a:4d:00:05",
    routes: [{ to: "0.0.0.0/0", via: "10.77.0.1" }],
    gateway: "10.77.0.1",
    ports: [],
    nameservers: [],
  });
  await driver.attach(call, net, endpoint(6, second, { defaultRoute: false }));
  assert.ok(await reaches(first, "10.77.0.1"));
  assert.ok(await reaches(second, "10.77.0.5"));
  assert.ok(await reaches(outside, "10.77.0.6"));
  assert.match(await within(first, "ip", "route"), /default via 10.77.0.1/);
  assert.doesNotMatch(await within(second, "ip", "route"), /default/);
  await assert.rejects(driver.remove(call, net), code("FailedPrecondition"));
  await driver.detach(call, net, endpoint(5, first), { live: true });
  assert.doesNotMatch(await within(first, "ip", "-o", "link"), /eth0/);
  await driver.detach(call, net, { id: endpoint(6, second).id });
  await driver.remove(call, net);
  assert.equal((await host.links(call, "par0")).length, 1, "the operator's interface went");
});

for (const mode of ["private", "vepa"])
  test(`${mode}: containers reach the outside alone`, async (t) => {
    const { driver } = await world(t);
    const net = network("2", { parent: "par0", macvlan_mode: mode });
    await driver.ensure(call, net);
    const [first, second] = [await namespace(t), await namespace(t)];
    await driver.attach(call, net, endpoint(5, first));
    await driver.attach(call, net, endpoint(6, second));
    assert.ok(await reaches(first, "10.77.0.1"));
    assert.ok(await isAlone(first, "10.77.0.6"));
    assert.match(await within(first, "ip", "-d", "link", "show", "eth0"), new RegExp(`macvlan mode ${mode}`));
  });

test("passthru: one container has the parent for itself, with its hardware address; the next is refused in words", async (t) => {
  const { driver, outside, host } = await world(t);
  const net = network("3", { parent: "par0", macvlan_mode: "passthru" });
  await driver.ensure(call, net);
  const [first, second] = [await namespace(t), await namespace(t)];
  const { mac } = await driver.attach(call, net, endpoint(5, first));
  assert.equal(mac, (await host.links(call, "par0"))[0]?.mac);
  assert.ok(await reaches(outside, "10.77.0.5"));
  const refused = await driver.attach(call, net, endpoint(6, second)).catch((error: unknown) => error);
  assert.ok(isTsboxError(refused) && refused.code === "FailedPrecondition", String(refused));
  assert.match(refused.message, /net3: the kernel allows no macvlan interface on par0 now: a container in mode passthru/);
  assert.deepEqual(await all(await driver.list(call, net)), [endpoint(5, first).id]);
});

test("without a parent containers reach each other alone, and the driver's own parent goes with the network", async (t) => {
  const { driver, outside, host } = await world(t);
  const net = network("4", {});
  await driver.check(call, net);
  await driver.ensure(call, net);
  await driver.ensure(call, net);
  const [first, second] = [await namespace(t), await namespace(t)];
  assert.deepEqual((await driver.attach(call, net, endpoint(5, first))).routes, []);
  await driver.attach(call, net, endpoint(6, second));
  assert.ok(await reaches(first, "10.77.0.6"));
  assert.ok(await isAlone(outside, "10.77.0.5"));
  assert.equal((await host.links(call, "tsbabcdm")).length, 1);
  for (const [number, netns] of [
    [5, first],
    [6, second],
  ] as const)
    await driver.detach(call, net, endpoint(number, netns));
  await driver.remove(call, net);
  assert.deepEqual(await host.links(call, "tsbabcd"), []);
});

test("another daemon knows the endpoints, and removes what the first made", async (t) => {
  const { driver, again, host } = await world(t);
  const net = network("5", {});
  await driver.ensure(call, net);
  const netns = await namespace(t);
  const one = endpoint(5, netns);
  await driver.attach(call, net, one);
  const next = again();
  assert.deepEqual(await all(await next.list(call, net)), [one.id]);
  await assert.rejects(next.remove(call, net), code("FailedPrecondition"));
  await next.detach(call, net, { id: one.id });
  await next.detach(call, net, { id: one.id });
  await next.remove(call, net);
  assert.deepEqual(await host.links(call, "tsbabcd"), []);
});

test("eth0.10 is VLAN 10 of eth0: made with the first network on it, gone with the last", async (t) => {
  const { driver, host, outside } = await world(t);
  const [net, other] = [network("6", { parent: "par0.10" }), network("7", { parent: "par0.10" })];
  await driver.check(call, net);
  const made = await driver.ensure(call, net).then(
    () => null,
    (error: unknown) => error,
  );
  if (isTsboxError(made) && made.code === "Unsupported") {
    assert.match(made.message, /this kernel has no VLAN interfaces/);
    await driver.remove(call, net);
    return t.skip(made.message);
  }
  assert.equal(made, null);
  await driver.ensure(call, other);
  const netns = await namespace(t);
  await driver.attach(call, net, endpoint(5, netns));
  await within(
    outside,
    "sh",
    "-c",
    "ip link add link out0 name out0.10 type vlan id 10; ip addr flush dev out0; ip addr add 10.77.0.1/24 dev out0.10; ip link set out0.10 up",
  );
  assert.ok(await reaches(netns, "10.77.0.1"));
  await driver.detach(call, net, endpoint(5, netns), { live: true });
  await driver.remove(call, net);
  assert.equal((await host.links(call, "par0.10")).length, 1);
  await driver.remove(call, other);
  assert.deepEqual(await host.links(call, "par0.10"), []);
});

test("a network that can't be is refused when it is created, in words", async (t) => {
  const { driver } = await world(t);
  const refused = async (wanted: string, text: RegExp, options: Record<string, string>, more = {}): Promise<void> => {
    const error = await driver.check(call, network("8", options, more)).catch((thrown: unknown) => thrown);
    assert.ok(isTsboxError(error) && error.code === wanted, String(error));
    assert.match(error.message, text);
  };
  await refused("InvalidArgument", /option color is unknown to macvlan; it knows parent, macvlan_mode/, { color: "red" });
  await refused("InvalidArgument", /sideways is no mode of macvlan; modes are bridge, private, vepa, passthru/, {
    macvlan_mode: "sideways",
  });
  await refused("InvalidArgument", /the host has no interface eth9/, { parent: "eth9" });
  await refused("InvalidArgument", /the host has no interface eth9/, { parent: "eth9.10" });
  await refused("InvalidArgument", /the host has no interface par0.5000/, { parent: "par0.5000" });
  await refused("InvalidArgument", /the parent can't be lo/, { parent: "lo" });
  await refused("InvalidArgument", /no name for a parent/, { parent: "../etc" });
  await refused("InvalidArgument", /9 is no MTU/, { "com.docker.network.driver.mtu": "9" });
  await refused("Unsupported", /IPv6/, {}, { subnets: [{ cidr: "fd00::/64", gateway: "fd00::1" }] });
});

test("a parent that is gone, and an attach that fails, leave nothing", async (t) => {
  const { driver } = await world(t);
  const net = network("9", { parent: "par0" });
  await driver.ensure(call, net);
  const netns = await namespace(t);
  await assert.rejects(driver.attach(call, net, endpoint(5, "/proc/0/ns/net")), code("NotFound"));
  await assert.rejects(driver.attach(call, net, endpoint(5, netns, { addresses: ["nowhere"] })), code("InvalidArgument"));
  assert.deepEqual(await all(await driver.list(call, net)), []);
  assert.doesNotMatch(await within(netns, "ip", "-o", "link"), /eth0/);
  await command("ip", "link", "set", "par0", "name", "par9");
  const error = await driver.attach(call, net, endpoint(5, netns)).catch((thrown: unknown) => thrown);
  await command("ip", "link", "set", "par9", "name", "par0");
  assert.ok(isTsboxError(error) && error.code === "FailedPrecondition", String(error));
  assert.match(error.message, /its parent interface par0 is gone/);
});
