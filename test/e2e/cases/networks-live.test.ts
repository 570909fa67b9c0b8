/** Containers on several networks: connected and disconnected while they run, and with their next start. */
import { existsSync } from "node:fs";
import { needsRoot, suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { docker, dockerClient } from "../src/docker.ts";
import { binary, type Engine, engine, until } from "../src/engine.ts";

const test = suite("network connect and disconnect", { timeout: 180_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");

async function lans(own: Engine): Promise<void> {
  await own.ok(["network", "create", "--subnet", "10.231.8.0/24", "lan"]);
  await own.ok(["network", "create", "--subnet", "10.231.9.0/24", "other"]);
}
/** The interfaces of a running container with their addresses, and the default route. */
async function inside(own: Engine, name: string): Promise<string> {
  const script = "ip -br -4 addr show | grep -v ^lo | tr -s ' ' | sed 's/@[^ ]*//; s/ *$//'; ip route show default | cut -d' ' -f3";
  return (await own.ok(["exec", name, "sh", "-c", script])).trim().split("\n").join("; ");
}
const networksOf = async (own: Engine, name: string): Promise<string> =>
  (await own.ok(["inspect", "-f", "{{range $name, $net := .NetworkSettings.Networks}}{{$name}}={{$net.IPAddress}} {{end}}", name])).trim();

test.skipIf(reason, "one that runs joins and leaves; its way out and its ports follow", async (t) => {
  const own = await engine(t);
  await lans(own);
  await own.ok(["run", "-d", "--name", "web", "--net", "lan", "-p", "127.0.0.1:18474:80", "host:/", "sleep", "1000"]);
  assert.is(await inside(own, "web"), "eth0 UP 10.231.8.2/24; 10.231.8.1");
  await own.ok(["network", "connect", "--ip", "10.231.9.77", "other", "web"]);
  assert.is(await inside(own, "web"), "eth0 UP 10.231.8.2/24; eth1 UP 10.231.9.77/24; 10.231.8.1");
  assert.is(await networksOf(own, "web"), "lan=10.231.8.2 other=10.231.9.77");
  assert.match(await own.ok(["exec", "web", "cat", "/etc/hosts"]), /^10\.231\.8\.2\t.*\n10\.231\.9\.77\t/m);
  const twice = await own.run(["network", "connect", "other", "web"]);
  assert.equal([twice.code, twice.stderr], [1, "tsbox: endpoint with name web already exists in network other\n"]);
  assert.match((await own.run(["network", "rm", "other"])).stderr, /has active endpoints/);
  assert.is(await own.ok(["ps", "-f", "network=other", "--format", "{{.Names}} {{.Networks}}"]), "web lan,other\n");
  await own.ok(["network", "disconnect", "lan", "web"]);
  await until(async () => (await inside(own, "web")).startsWith("eth0 UP 10.231.9.77/24; 10.231.9.1"), "the other to be the way out");
  assert.match(await own.ok(["ps", "--format", "{{.Ports}}"]), /127\.0\.0\.1:18474->80\/tcp/);
  assert.not.match(await own.ok(["exec", "web", "cat", "/etc/hosts"]), /10\.231\.8\.2/);
  const gone = await own.run(["network", "disconnect", "lan", "web"]);
  assert.match(gone.stderr, /is not connected to network lan\n$/);
  assert.is((await own.run(["network", "disconnect", "-f", "lan", "web"])).code, 0);
  await own.ok(["network", "rm", "lan"]);
  await own.ok(["restart", "-t", "0", "web"]);
  assert.is(await inside(own, "web"), "eth0 UP 10.231.9.77/24; 10.231.9.1", "and so after a restart");
});

test.skipIf(reason, "one that does not run joins with its start; an engine that comes back finds both", async (t) => {
  const own = await engine(t);
  await lans(own);
  await own.ok(["create", "--name", "later", "--net", "lan", "host:/", "sleep", "1000"]);
  await own.ok(["network", "connect", "other", "later"]);
  assert.is(await networksOf(own, "later"), "lan= other=");
  await own.ok(["start", "later"]);
  assert.is(await inside(own, "later"), "eth0 UP 10.231.8.2/24; eth1 UP 10.231.9.2/24; 10.231.8.1");
  process.kill(own.daemonPid(), "SIGKILL");
  await until(async () => (await networksOf(own, "later").catch(() => "")) === "lan=10.231.8.2 other=10.231.9.2", "the next daemon");
  await own.ok(["network", "disconnect", "other", "later"]);
  await until(async () => (await inside(own, "later")) === "eth0 UP 10.231.8.2/24; 10.231.8.1", "the second to go");
  for (const [argv, words] of [
    [["network", "connect", "nowhere", "later"], /network nowhere not found/],
    [["network", "connect", "host", "later"], /host network/],
    [["network", "connect", "none", "later"], /private \(none\) mode/],
    [["network", "connect", "other", "nobody"], /No such container: nobody/],
  ] as const)
    assert.match((await own.run(argv)).stderr, words);
});

test.skipIf(reason ?? docker.reason, "docker's own client", async (t) => {
  const own = await engine(t);
  await lans(own);
  await own.ok(["create", "--name", "maker", "--net", "none", "host:/", "true"]);
  await own.ok(["tag", "host:/", "machine:1"]);
  const ran = async (...words: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await dockerClient(own, words);
    assert.is(code, 0, `docker ${words.join(" ")}: ${stderr}`);
    return stdout;
  };
  await ran("run", "-d", "--name", "web", "--network", "lan", "--network", "other", "machine:1", "sleep", "1000");
  assert.is(await networksOf(own, "web"), "lan=10.231.8.2 other=10.231.9.2");
  await ran("network", "disconnect", "other", "web");
  await ran("network", "connect", "--ip", "10.231.9.50", "other", "web");
  assert.match(
    await ran("network", "inspect", "-f", "{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}", "other"),
    /^web 10\.231\.9\.50\/24\n$/,
  );
});
