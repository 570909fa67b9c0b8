import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite } from "@tsbox/harness";
import { isTsboxError, type PortMap } from "@tsbox/kernel";
import { ask, call, command, endpoint, missing, mountsBelow, namespace, network, serve, within, world } from "./world.ts";

const test = suite("network-cni");
const code = (wanted: string) => (error: unknown) => isTsboxError(error) && error.code === wanted;
const port = (hostPort: number, containerPort: number): PortMap => ({
  protocol: "tcp",
  hostAddress: "0.0.0.0",
  hostPort,
  containerPort,
  count: 1,
});

async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of stream) items.push(item);
  return items;
}

async function refused(work: Promise<unknown>, wanted: string, text: RegExp): Promise<void> {
  const error = await work.then(
    () => "no error",
    (thrown: unknown) => thrown,
  );
  assert.ok(isTsboxError(error) && error.code === wanted, String(error));
  assert.match(error.message, text);
}

test.skipIf(missing, "bridge and host-local: addresses, routes and nameservers are the plugins', and DEL frees them", async (t) => {
  const { driver, write, ipam, leases, directory } = await world(t);
  write({
    name: "lan",
    cniVersion: "1.0.0",
    plugins: [{ type: "bridge", bridge: "cni9", isGateway: true, ipam: ipam("10.66.0.0/24"), dns: { nameservers: ["10.66.0.53"] } }],
  });
  t.cleanup(() => command("ip", "link", "del", "cni9"));
  // By the name inside the file.
  const net = network("1", "lan");
  await driver.check(call, net);
  await driver.ensure(call, net);
  const [first, second] = [await namespace(t), await namespace(t)];
  const attached = await driver.attach(call, net, endpoint(1, first.path));
  assert.match(attached.mac, /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
  assert.deepEqual(
    { ...attached, mac: "" },
    {
      addresses: ["10.66.0.2/24"],
      mac: "",
      routes: [{ to: "0.0.0.0/0", via: null }],
      gateway: "10.66.0.1",
      ports: [],
      nameservers: ["10.66.0.53"],
    },
  );
  assert.match(await within(first.path, "ip", "-o", "link", "show", "eth0"), new RegExp(attached.mac));
  assert.match(await within(first.path, "ip", "-o", "link", "show", "lo"), /LOOPBACK,UP/);
  await driver.attach(call, net, endpoint(2, second.path, { interface: "eth1" }));
  await within(second.path, "ping", "-c", "1", "-w", "3", "10.66.0.2");
  await assert.rejects(driver.remove(call, net), code("FailedPrecondition"));
  await assert.rejects(driver.attach(call, net, endpoint(1, first.path)), code("AlreadyExists"));
  // One lives on, the other's namespace has no process any more.
  await driver.detach(call, net, endpoint(1, first.path), { live: true });
  assert.doesNotMatch(await within(first.path, "ip", "-o", "link"), /eth0/);
  await second.end();
  await driver.detach(call, net, { id: endpoint(2, second.path).id });
  await driver.detach(call, net, { id: endpoint(2, second.path).id });
  assert.deepEqual(await leases("lan"), []);
  assert.deepEqual(mountsBelow(directory), []);
  await driver.remove(call, net);
});

test.skipIf(missing, "ptp: another daemon knows the endpoints, and removes them though the operator's file is gone", async (t) => {
  const { driver, again, write, ipam, leases, directory } = await world(t);
  const path = write({ name: "points", cniVersion: "0.4.0", plugins: [{ type: "ptp", ipam: ipam("10.67.0.0/24") }] });
  const net = network("2", path);
  const netns = await namespace(t);
  const one = endpoint(1, netns.path);
  assert.deepEqual((await driver.attach(call, net, one)).addresses, ["10.67.0.2/24"]);
  assert.deepEqual(await leases("points"), ["10.67.0.2"]);
  await command("rm", path);
  const next = again();
  await next.open(call);
  assert.deepEqual(await all(await next.list(call, net)), [one.id]);
  await netns.end();
  await next.detach(call, net, { id: one.id });
  assert.deepEqual(await all(await next.list(call, net)), []);
  assert.deepEqual(await leases("points"), []);
  assert.deepEqual(mountsBelow(directory), []);
  assert.doesNotMatch(await command("ip", "-o", "link"), /veth/);
  await next.remove(call, net);
  assert.equal(existsSync(join(directory, "state", net.id)), false);
});

test.skipIf(missing, "macvlan, a list of one plugin in a file of the old form", async (t) => {
  const { driver, write, ipam } = await world(t);
  await command("ip", "link", "add", "par0", "type", "veth", "peer", "name", "par1");
  t.cleanup(() => command("ip", "link", "del", "par0"));
  await command("ip", "link", "set", "par0", "up");
  const path = write({ name: "old", cniVersion: "0.2.0", type: "macvlan", master: "par0", ipam: ipam("10.68.0.0/24") });
  const net = network("3", path);
  const netns = await namespace(t);
  const attached = await driver.attach(call, net, endpoint(1, netns.path));
  assert.deepEqual([attached.addresses, attached.gateway], [["10.68.0.2/24"], "10.68.0.1"]);
  assert.match(await within(netns.path, "ip", "-d", "link", "show", "eth0"), /macvlan/);
  await driver.detach(call, net, endpoint(1, netns.path), { live: true });
});

test.skipIf(missing, "ports by the capability portMappings: published, changed, and gone", async (t) => {
  const { driver, again, write, ipam } = await world(t);
  write({
    name: "ports",
    cniVersion: "1.0.0",
    plugins: [
      { type: "ptp", ipam: ipam("10.69.0.0/24") },
      { type: "portmap", capabilities: { portMappings: true }, snat: true },
    ],
  });
  const net = network("4", "ports");
  const netns = await namespace(t);
  const one = endpoint(1, netns.path);
  const { ports } = await driver.attach(call, net, { ...one, ports: [port(0, 80)] });
  const [published] = ports;
  assert.ok(published && published.hostPort > 0);
  await serve(t, netns.path, 80);
  assert.equal(await ask("10.69.0.1", published.hostPort), "hello");
  // The port is reserved, for another daemon as well.
  const other = endpoint(2, (await namespace(t)).path, { ports: [port(published.hostPort, 80)] });
  await assert.rejects(driver.attach(call, net, other), code("AlreadyExists"));
  await driver.close(call);
  const next = again();
  await next.open(call);
  t.cleanup(() => next.close(call));
  await assert.rejects(next.attach(call, net, other), code("AlreadyExists"));
  assert.deepEqual(await next.publish(call, net, one.id, [port(18_080, 80)]), [port(18_080, 80)]);
  assert.equal(await ask("10.69.0.1", 18_080), "hello");
  assert.equal(await ask("10.69.0.1", published.hostPort), null);
  assert.deepEqual(await next.publish(call, net, one.id, []), []);
  assert.equal(await ask("10.69.0.1", 18_080), null);
  await next.publish(call, net, one.id, [port(18_081, 80)]);
  await netns.end();
  await next.detach(call, net, { id: one.id });
  assert.doesNotMatch(await command("iptables-save"), /10\.69\.0\.2/);
});

test.skipIf(missing, "a wished address by the capability ips; a wish that no plugin hears is refused by name", async (t) => {
  const { driver, write, ipam } = await world(t);
  write({ name: "wishes", cniVersion: "1.0.0", plugins: [{ type: "ptp", capabilities: { ips: true }, ipam: ipam("10.70.0.0/24") }] });
  const net = network("5", "wishes");
  const netns = await namespace(t);
  const one = endpoint(1, netns.path, { addresses: ["10.70.0.77/32"] });
  assert.deepEqual((await driver.attach(call, net, one)).addresses, ["10.70.0.77/24"]);
  await driver.detach(call, net, one, { live: true });
  await refused(
    driver.attach(call, net, { ...one, ports: [port(80, 80)] }),
    "Unsupported",
    /net5 supports no ports: no plugin of its CNI configuration wishes has the capability portMappings; leave out -p/,
  );
  await refused(driver.attach(call, net, { ...one, mac: "02:00:00:00:00:07" }), "Unsupported", /capability mac; leave out --mac-address/);
});

test("a plugin that fails, that hangs, that answers nonsense: words, and DEL for what is there", async (t) => {
  const { driver, write, plugin, directory } = await world(t, 1);
  const log = join(directory, "log");
  plugin("first", `echo "$CNI_COMMAND $CNI_IFNAME" >>${log}; echo '{"cniVersion":"1.0.0","ips":[{"address":"10.1.2.3/24"}]}'`);
  plugin("refuses", `echo "$CNI_COMMAND" >>${log}; echo '{"code":102,"msg":"no such moon","details":"look\\u001b up"}'; exit 1`);
  plugin("hangs", "[ $CNI_COMMAND = DEL ] || sleep 100");
  plugin("babbles", "echo hello");
  plugin("lies", `echo '{"ips":[{"address":"10.1.2.3; rm -rf /"}]}'`);
  plugin("dies", "echo nothing there >&2; exit 3");
  const netns = (await namespace(t)).path;
  const list = (type: string) => network("6", write({ name: type, cniVersion: "1.0.0", plugins: [{ type: "first" }, { type }] }));
  const attach = (type: string): Promise<unknown> => driver.attach(call, list(type), endpoint(1, netns));
  await refused(
    attach("refuses"),
    "FailedPrecondition",
    /the CNI plugin refuses of network refuses failed \(ADD\): no such moon: look\\x1b up/,
  );
  assert.deepEqual(readFileSync(log, "utf8").trim().split("\n"), ["ADD eth0", "ADD", "DEL", "DEL eth0"]);
  await refused(
    attach("hangs"),
    "DeadlineExceeded",
    /the CNI plugin hangs of network hangs has not ended within 1 s \(ADD\), and is killed/,
  );
  await refused(attach("babbles"), "FailedPrecondition", /babbles of network babbles answered no JSON/);
  await refused(attach("lies"), "FailedPrecondition", /lies answered "10.1.2.3; rm -rf \/" as an address with a prefix length/);
  await refused(attach("dies"), "FailedPrecondition", /dies of network dies failed \(ADD\): nothing there/);
  assert.deepEqual(await all(await driver.list(call, list("dies"))), []);
  assert.deepEqual(mountsBelow(directory), []);
});

test("a DEL that fails is tried again", async (t) => {
  const { driver, write, plugin, directory } = await world(t);
  plugin("stubborn", `[ $CNI_COMMAND = ADD ] || [ -e ${directory}/free ] || exit 1; echo '{"ips":[{"address":"10.1.2.3/24"}]}'`);
  const net = network("7", write({ name: "stubborn", cniVersion: "1.0.0", plugins: [{ type: "stubborn" }] }));
  const one = endpoint(1, (await namespace(t)).path);
  await driver.attach(call, net, one);
  await refused(driver.detach(call, net, one), "FailedPrecondition", /stubborn of network stubborn failed \(DEL\): it exited with 1/);
  assert.deepEqual(await all(await driver.list(call, net)), [one.id]);
  await command("touch", `${directory}/free`);
  await driver.detach(call, net, { id: one.id });
  assert.deepEqual(await all(await driver.list(call, net)), []);
});

test("plugins get their part of the configuration, the runtime's environment, and on DEL the result of ADD", async (t) => {
  const { driver, write, plugin, directory } = await world(t);
  const result = '{"cniVersion":"1.0.0","ips":[{"address":"10.1.2.3/24"}]}';
  plugin("tells", `cat >${directory}/$CNI_COMMAND.json; env >${directory}/$CNI_COMMAND.env; echo '${result}'`);
  const path = write({
    name: "tells",
    cniVersion: "1.0.0",
    plugins: [{ type: "tells", color: "red", capabilities: { mac: true, ips: true } }],
  });
  const net = network("8", path);
  const one = endpoint(1, (await namespace(t)).path, { mac: "02:00:00:00:00:07" });
  await driver.attach(call, net, one);
  const asked = { type: "tells", color: "red", capabilities: { mac: true, ips: true }, name: "tells", cniVersion: "1.0.0" };
  const told = (name: string): unknown => JSON.parse(readFileSync(join(directory, name), "utf8"));
  assert.deepEqual(told("ADD.json"), { ...asked, runtimeConfig: { mac: "02:00:00:00:00:07" } });
  const environment = readFileSync(join(directory, "ADD.env"), "utf8");
  assert.match(environment, new RegExp(`^CNI_CONTAINERID=${one.id}$`, "m"));
  assert.match(environment, /^CNI_IFNAME=eth0$/m);
  assert.match(environment, /^CNI_PATH=.*\/plugins:\/usr\/lib\/cni$/m);
  await driver.detach(call, net, one);
  assert.deepEqual(told("DEL.json"), { ...asked, runtimeConfig: { mac: "02:00:00:00:00:07" }, prevResult: JSON.parse(result) });
});

test("a network that can't be is refused when it is created, in words", async (t) => {
  const { driver, write, plugin, directory } = await world(t);
  plugin("some", "exit 0");
  const fine = write({ name: "fine", cniVersion: "1.0.0", plugins: [{ type: "some" }] });
  const check = (conf: string, more = {}): Promise<void> => driver.check(call, network("9", conf, more));
  await check(fine);
  await check("fine");
  const options = (more: Record<string, string>) => ({ options: more });
  await refused(check("", options({})), "InvalidArgument", /net9: give -o conf=/);
  await refused(check("", options({ conf: fine, color: "red" })), "InvalidArgument", /option color is unknown to cni; it knows conf/);
  await refused(check("none"), "InvalidArgument", /no CNI configuration in .* has the name none/);
  await refused(check("/nowhere"), "InvalidArgument", /the CNI configuration \/nowhere can't be used: there is no such file/);
  const subnets = [{ cidr: "10.1.0.0/24", gateway: "10.1.0.1" }];
  await refused(check(fine, { subnets }), "InvalidArgument", /its CNI configuration has the addresses; leave out --subnet/);
  await refused(check(fine, { internal: true }), "InvalidArgument", /leave out --internal/);
  const wrong = async (configuration: Record<string, unknown>, text: RegExp): Promise<void> =>
    refused(check(write({ name: "wrong", ...configuration })), "InvalidArgument", text);
  await wrong({ plugins: [{ type: "absent" }] }, /there is no CNI plugin absent in .*; install it/);
  await wrong({ plugins: [{ type: "../../bin/sh" }] }, /each of its plugins needs a "type", the name of a program/);
  await wrong({ plugins: [] }, /"plugins" is a list of 1 to 16 plugins/);
  await wrong({ cniVersion: "9.9.9", type: "some" }, /cniVersion "9.9.9" is unknown/);
  const deep = join(directory, "deep.conf");
  writeFileSync(deep, `{"name":"deep","type":"some","deep":${"[".repeat(5000)}${"]".repeat(5000)}}`);
  await refused(check(deep), "InvalidArgument", /nested more than/);
  assert.equal(existsSync(join(directory, "state", "9".repeat(64))), false);
});
