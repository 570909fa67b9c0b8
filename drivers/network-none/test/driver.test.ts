import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { openDriver, openToolkit } from "@tsbox/conformance";
import { suite, temporaryDirectory } from "@tsbox/harness";
import { createCall, type Endpoint, type Network, type NetworkDriver, silentLog } from "@tsbox/kernel";
import plugin from "../src/index.ts";

const toolkit = await openToolkit();
const test = suite("network-none");

test.skipIf("skip" in toolkit ? toolkit.skip : null, "a namespace gets its loopback and nothing else", async (current) => {
  if ("skip" in toolkit) return;
  const call = createCall(silentLog);
  const directory = temporaryDirectory(current);
  const { value, close } = await openDriver(plugin, "network", "none", { directory, services: { host: toolkit.host } });
  current.cleanup(close);
  const driver: NetworkDriver = value;
  const child = spawn("unshare", ["--net", "sh", "-c", "echo ready; cat"], { stdio: ["pipe", "pipe", "inherit"] });
  const gone = once(child, "exit");
  current.cleanup(() => {
    child.kill("SIGKILL");
    return gone;
  });
  await once(child.stdout, "data");
  const network = { id: "a".repeat(64), name: "none", subnets: [], internal: false, options: {} } as unknown as Network;
  const netns = `/proc/${child.pid}/ns/net`;
  const endpoint = { id: "b".repeat(64), container: "c".repeat(64), netns, interface: "eth0", addresses: [], mac: null, ports: [] };
  await driver.ensure(call, network);
  const attachment = await driver.attach(call, network, endpoint as unknown as Endpoint);
  assert.deepEqual(attachment, { addresses: [], mac: "", routes: [], gateway: null, ports: [], nameservers: [] });
  const links = execFileSync("nsenter", [`--net=${netns}`, "ip", "-o", "link"], { encoding: "utf8" })
    .trim()
    .split("\n");
  assert.equal(links.length, 1);
  assert.match(links[0] ?? "", /lo: <LOOPBACK,UP/);
});
