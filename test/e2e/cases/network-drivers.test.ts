/** Networks of the drivers macvlan and cni: nothing of them is seen from outside of the containers. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Case, needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { binary, type Engine, engine, until } from "../src/engine.ts";

const test = suite("network drivers", { timeout: 180_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ?? needsBusybox();
const noPlugins = existsSync("/usr/lib/cni/ptp") ? null : "needs containernetworking-plugins: scripts/packages";

async function ready(t: Case): Promise<Engine> {
  const own = await engine(t);
  await own.ok(["import", "-", "bb"], { input: busyboxTar(t) });
  return own;
}
async function refused(own: Engine, argv: readonly string[], text: RegExp): Promise<void> {
  const { code, stderr } = await own.run(argv);
  assert.ok(code !== 0, `${argv.join(" ")} exited 0`);
  assert.match(stderr, text);
}

test.skipIf(reason, "macvlan: containers reach each other; ports and unknown options are refused by name", async (t) => {
  const own = await ready(t);
  await refused(
    own,
    ["network", "create", "-d", "macvlan", "-o", "color=red", "lan"],
    /option color is unknown to macvlan; it knows parent/,
  );
  await refused(own, ["network", "create", "-d", "macvlan", "-o", "parent=tsbox-none", "lan"], /the host has no interface tsbox-none/);
  await refused(own, ["network", "inspect", "lan"], /lan/);
  await own.ok(["network", "create", "-d", "macvlan", "--subnet", "10.231.20.0/24", "lan"]);
  await refused(own, ["run", "--rm", "--net", "lan", "-p", "80", "bb", "true"], /network lan can't publish ports: leave out -p/);
  await own.ok(["run", "-d", "--name", "one", "--net", "lan", "bb", "sleep", "1000"]);
  assert.match(await own.ok(["run", "--rm", "--net", "lan", "bb", "ping", "-c", "1", "-w", "5", "10.231.20.2"]), /1 packets received/);
  await refused(own, ["network", "rm", "lan"], /has active endpoints/);
  await own.ok(["rm", "-f", "one"]);
  await own.ok(["network", "rm", "lan"]);
  assert.not.ok(readdirSync("/sys/class/net").some((name) => name.startsWith(`tsb${own.id.slice(0, 4)}m`)));
});

test.skipIf(reason ?? noPlugins, "cni: addresses are the plugins', which get them back, after a daemon's death too", async (t) => {
  const own = await ready(t);
  const directory = temporaryDirectory(t);
  const leases = join(directory, "leases");
  mkdirSync(leases);
  const ipam = { type: "host-local", dataDir: leases, ranges: [[{ subnet: "10.231.21.0/24" }]], routes: [{ dst: "0.0.0.0/0" }] };
  const conf = join(directory, "points.conflist");
  writeFileSync(
    conf,
    JSON.stringify({ name: "points", cniVersion: "1.0.0", plugins: [{ type: "ptp", ipam, dns: { nameservers: ["10.231.21.53"] } }] }),
  );
  const given = (): readonly string[] => readdirSync(join(leases, "points")).filter((name) => name.startsWith("10."));
  await refused(own, ["network", "create", "-d", "cni", "lan"], /give -o conf=/);
  await refused(own, ["network", "create", "-d", "cni", "-o", `conf=${conf}`, "--subnet", "10.1.0.0/24", "lan"], /leave out --subnet/);
  await own.ok(["network", "create", "-d", "cni", "-o", `conf=${conf}`, "lan"]);
  await own.ok(["run", "-d", "--name", "one", "--net", "lan", "bb", "sleep", "1000"]);
  const shown = "{{range .NetworkSettings.Networks}}{{.IPAddress}}/{{.IPPrefixLen}} {{.Gateway}}{{end}}";
  assert.is((await own.ok(["inspect", "-f", shown, "one"])).trim(), "10.231.21.2/24 10.231.21.1");
  assert.match(await own.ok(["exec", "one", "cat", "/etc/resolv.conf"]), /10\.231\.21\.53/);
  assert.match(await own.ok(["run", "--rm", "--net", "lan", "bb", "ping", "-c", "1", "-w", "5", "10.231.21.2"]), /1 packets received/);
  await until(() => given().length === 1, "the address of the second to be free again");
  await refused(
    own,
    ["run", "--rm", "--net", "lan", "-p", "80", "bb", "true"],
    /no plugin of its CNI configuration points has the capability portMappings/,
  );
  const daemon = own.daemonPid();
  process.kill(daemon, "SIGKILL");
  await until(async () => (await own.run(["ps", "-q"])).code === 0 && own.daemonPid() !== daemon, "the next daemon");
  await own.ok(["rm", "-f", "one"]);
  await until(() => given().length === 0, "all addresses to be free again");
  await own.ok(["network", "rm", "lan"]);
  assert.not.match(readFileSync("/proc/self/mountinfo", "utf8"), new RegExp(own.state));
});
