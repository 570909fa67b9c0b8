/**
 * The bridge network: the six steps of a run in order, outgoing traffic, traffic between host and container and between containers,
 * published ports; two engines next to each other.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { needsRoot, networkLinks, suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { binary, engine, until } from "../src/engine.ts";
import { busyboxLayout, freePort, needsTools, registry } from "../src/images.ts";

const test = suite("network", { timeout: 180_000 });
const reason =
  needsRoot() ??
  (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ??
  needsTools("umoci", "skopeo", "docker-registry", "busybox", "ip", "nft");
const ip = (...args: readonly string[]): string => execFileSync("ip", args as string[], { encoding: "utf8" });

/** The answer of a server at this address, or null if there is none. */
function ask(host: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    let text = "";
    const socket = connect({ host, port, timeout: 2000 });
    socket.setEncoding("utf8").on("data", (part: string) => (text += part));
    socket.on("close", () => resolve(text === "" ? null : text));
    socket.on("timeout", () => socket.destroy());
    socket.on("error", () => resolve(null));
  });
}

test.skipIf(reason, "the six steps of a run, each seen from outside and inside", async (t) => {
  const [own, hub] = [await engine(t), await registry(t)];
  const name = `${hub.address}/bb:1`;
  const digest = hub.push(busyboxLayout(t), "bb", "bb:1");
  const id = (
    await own.ok([
      "run",
      "-d",
      "--name",
      "six",
      name,
      "sh",
      "-c",
      "ip -o addr show eth0; ip route; hostname; echo mine > /mine; exec sleep 1000",
    ])
  ).trim();
  // 1. The image is pulled: in the content store under the registry's digest.
  assert.ok(existsSync(join(own.root, "content/blobs/sha256", digest.slice("sha256:".length))));
  // 2. The container is made: a record, under its name.
  const shown = await own.inspect("six");
  assert.equal([shown.Id, shown.State.Status], [id, "running"]);
  // 3. Its read-write layer is on disk.
  const upper = join(own.root, "storage-overlay/active", `container-${id}`, "fs");
  await until(() => existsSync(join(upper, "mine")), "its file in the layer");
  // 4. Its interface is on the engine's bridge.
  const bridge = `tsb${own.id.slice(0, 4)}`;
  // Not /sys/class/net, which shows the network namespace in which sysfs was mounted.
  const links = JSON.parse(ip("-j", "link")) as readonly {
    readonly ifname: string;
    readonly master?: string;
    readonly operstate: string;
  }[];
  const veths = links.filter(({ ifname, master }) => ifname.startsWith(bridge) && master !== undefined);
  assert.is(veths.length, 1);
  assert.ok(veths[0]?.master?.startsWith(bridge));
  // 5. Its address is from the pool, and the host reaches it.
  const { IPAddress, Gateway, MacAddress } = shown.NetworkSettings;
  assert.match(IPAddress, /^10\.2\d\d\.\d+\.\d+$/);
  assert.ok(ip("-o", "addr").includes(` ${Gateway}/`));
  execFileSync("ping", ["-c1", "-W2", IPAddress], { stdio: "ignore" });
  // 6. Its process has its own namespaces, and its output is captured.
  assert.is.not(readlinkSync(`/proc/${shown.State.Pid}/ns/net`), readlinkSync("/proc/self/ns/net"));
  const log = (await own.run(["logs", "six"])).stdout;
  assert.ok(log.includes(IPAddress) && log.includes(`default via ${Gateway} dev eth0`) && log.includes(id.slice(0, 12)), log);
  assert.ok(readFileSync(`/proc/${shown.State.Pid}/root/etc/hosts`, "utf8").includes(`${IPAddress}\t${id.slice(0, 12)}`));
  assert.is(veths[0]?.operstate, "UP");
  assert.match(MacAddress, /^02:42:/);
});

test.skipIf(
  reason,
  "a published port is reached by loopback, by the host's address and by another container; when the container goes so does the rule",
  async (t) => {
    const own = await engine(t);
    const image = `oci:${busyboxLayout(t)}:bb`;
    const port = await freePort();
    await own.ok([
      "run",
      "-d",
      "--name",
      "server",
      "-p",
      `${port}:7000`,
      image,
      "sh",
      "-c",
      "while :; do echo served | nc -l -p 7000; done",
    ]);
    assert.match(await own.ok(["ps"]), new RegExp(`0\\.0\\.0\\.0:${port}->7000/tcp`));
    const { IPAddress, Gateway } = (await own.inspect("server")).NetworkSettings;
    for (const [host, at] of [
      ["127.0.0.1", port],
      [IPAddress, 7000],
    ] as const)
      await until(async () => (await ask(host, at)) === "served\n", `an answer at ${host}:${at}`);
    const other = (address: string, at: number): Promise<string> =>
      own.ok([
        "run",
        "--rm",
        image,
        "sh",
        "-c",
        `for i in 1 2 3 4 5 6 7 8 9 10; do nc -w 2 ${address} ${at} </dev/null && exit; sleep 0.1; done; exit 1`,
      ]);
    assert.is(await other(IPAddress, 7000), "served\n");
    assert.is(await other(Gateway, port), "served\n");
    const taken = await own.run(["run", "--rm", "-p", `${port}:1`, image, "true"]);
    assert.is(taken.code, 125);
    assert.match(taken.stderr, new RegExp(`^tsbox: [^\\n]*${port}[^\\n]*\\n$`));
    assert.is((await own.run(["ps", "-aq"])).stdout.trim().split("\n").length, 1);
    await own.ok(["rm", "-f", "server"]);
    await until(async () => (await ask("127.0.0.1", port)) === null, "the port to be closed");
    await until(() => !execFileSync("nft", ["list", "ruleset"], { encoding: "utf8" }).includes(String(port)), "the rule to go");
  },
);

test.skipIf(reason, "a port that a program of the host holds is refused in one line, and nothing is left", async (t) => {
  const own = await engine(t);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve));
  t.cleanup(() => new Promise((resolve) => server.close(resolve)));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const image = `oci:${busyboxLayout(t)}:bb`;
  const ran = await own.run(["run", "--rm", "-p", `${port}:80`, image, "true"]);
  assert.is(ran.code, 125);
  assert.match(ran.stderr, new RegExp(`^tsbox: [^\\n]*${port}[^\\n]*\\n$`));
  assert.is((await own.run(["ps", "-aq"])).stdout, "");
});

test.skipIf(reason, "the host's network, none, and two engines that never touch each other's", async (t) => {
  const [one, other] = [await engine(t), await engine(t)];
  const image = `oci:${busyboxLayout(t)}:bb`;
  assert.is(
    await one.ok(["run", "--rm", "--net", "host", image, "readlink", "/proc/self/ns/net"]),
    `${readlinkSync("/proc/self/ns/net")}\n`,
  );
  assert.is(await one.ok(["run", "--rm", "--net", "none", image, "sh", "-c", "ls /sys/class/net"]), "lo\n");
  const address = "ip -o -4 addr show eth0 | tr -s ' ' | cut -d' ' -f4; exec sleep 1000";
  for (const own of [one, other]) await own.ok(["run", "-d", "--name", "same", image, "sh", "-c", address]);
  const [first, second] = [(await one.inspect("same")).NetworkSettings, (await other.inspect("same")).NetworkSettings];
  assert.is.not(first.Gateway, second.Gateway);
  await one.ok(["rm", "-f", "same"]);
  await one.stop();
  execFileSync("ping", ["-c1", "-W2", second.IPAddress], { stdio: "ignore" });
  assert.is((await other.inspect("same")).State.Status, "running");
});

test.skipIf(reason, "a daemon that comes back keeps addresses and ports", async (t) => {
  const own = await engine(t);
  const image = `oci:${busyboxLayout(t)}:bb`;
  const port = await freePort();
  await own.ok(["run", "-d", "--name", "kept", "-p", `${port}:7000`, image, "sh", "-c", "while :; do echo served | nc -l -p 7000; done"]);
  const before = (await own.inspect("kept")).NetworkSettings.IPAddress;
  process.kill(own.daemonPid(), "SIGKILL");
  assert.is((await own.inspect("kept")).NetworkSettings.IPAddress, before);
  await until(async () => (await ask("127.0.0.1", port)) === "served\n", "an answer after the daemon's death");
  await own.ok(["run", "-d", "--name", "next", image, "sleep", "1000"]);
  assert.is.not((await own.inspect("next")).NetworkSettings.IPAddress, before);
});

test.skipIf(reason, "a hundred runs with the network, eight at a time: no interface, namespace, rule or address is left", async (t) => {
  const own = await engine(t);
  const image = `oci:${busyboxLayout(t)}:bb`;
  await own.ok(["run", "-d", "--name", "first", image, "sleep", "1000"]);
  const links = (): readonly string[] => networkLinks().filter((link) => link.startsWith(`tsb${own.id.slice(0, 4)}`));
  const before = links();
  const waiting = Array.from({ length: 100 }, (_, at) => at);
  const worker = async (): Promise<void> => {
    for (let at = waiting.shift(); at !== undefined; at = waiting.shift()) {
      const ran = await own.run(["run", "--rm", image, "sh", "-c", `exit ${at % 5}`]);
      assert.is(ran.code, at % 5, ran.stderr);
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  await until(() => links().length === before.length, "the interfaces to go");
  await until(() => readdirSync(join(own.state, "containers")).length === 1, "the directories to go");
});
