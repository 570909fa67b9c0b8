/** A parent interface that leads to a namespace "outside", and containers' namespaces. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { promisify } from "node:util";
import { openToolkit } from "@tsbox/conformance";
import { type Case, temporaryDirectory } from "@tsbox/harness";
import { type Call, createCall, type Endpoint, type EndpointId, type HostToolkit, type Network, silentLog } from "@tsbox/kernel";
import { MacvlanDriver } from "../src/driver.ts";

export const call: Call = createCall(silentLog);
const run = promisify(execFile);

export interface World {
  readonly driver: MacvlanDriver;
  readonly host: HostToolkit;
  /** Another daemon of the same engine. */
  again(): MacvlanDriver;
  /** A namespace in which par0's other end is out0. */
  readonly outside: string;
}

export async function world(test: Case): Promise<World> {
  const opened = await openToolkit();
  if ("skip" in opened) return test.skip(opened.skip);
  test.cleanup(() => opened.close());
  const { host } = opened;
  const directory = temporaryDirectory(test);
  const outside = await namespace(test);
  await command("ip", "link", "add", "par0", "type", "veth", "peer", "name", "out0", "netns", outside.split("/")[2] ?? "");
  test.cleanup(() => command("ip", "link", "del", "par0"));
  await command("ip", "link", "set", "par0", "up");
  await within(outside, "sh", "-c", "ip addr add 10.77.0.1/24 dev out0; ip link set out0 up");
  const make = (): MacvlanDriver => new MacvlanDriver(host, "abcd", directory);
  return { driver: make(), host, again: make, outside };
}

/** A process in a new network namespace that waits until its stdin is closed. Returns the namespace's path. */
export async function namespace(test: Case): Promise<string> {
  const child = spawn("unshare", ["--net", "sh", "-c", "echo ready; cat"], { stdio: ["pipe", "pipe", "inherit"] });
  test.cleanup(() => end(child));
  await once(child.stdout, "data");
  return `/proc/${child.pid}/ns/net`;
}

async function end(child: ChildProcess): Promise<void> {
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}

export async function command(...argv: readonly string[]): Promise<string> {
  const [program = "", ...rest] = argv;
  return (await run(program, rest)).stdout;
}

export const within = (netns: string, ...argv: readonly string[]): Promise<string> => command("nsenter", `--net=${netns}`, ...argv);

/** Whether an address answers a ping, which may take a moment: the other side has just set its interface up. */
export async function reaches(netns: string, address: string): Promise<boolean> {
  return within(netns, "ping", "-c", "1", "-w", "3", address).then(
    () => true,
    () => false,
  );
}

export async function isAlone(netns: string, address: string): Promise<boolean> {
  return within(netns, "ping", "-c", "2", "-i", "0.2", "-W", "0.3", address).then(
    () => false,
    () => true,
  );
}

export function network(digit: string, options: Network["options"], more: Partial<Network> = {}): Network {
  const subnets = [{ cidr: "10.77.0.0/24", gateway: "10.77.0.1" }];
  return { id: digit.repeat(64) as Network["id"], name: `net${digit}`, subnets, internal: false, options, ...more };
}

export function endpoint(number: number, netns: string, more: Partial<Endpoint> = {}): Endpoint {
  return {
    id: number.toString(16).padStart(64, "e") as EndpointId,
    container: "c".repeat(64) as Endpoint["container"],
    netns,
    interface: "eth0",
    addresses: [`10.77.0.${number}/24`],
    mac: `02:42:0a:4d:00:${number.toString(16).padStart(2, "0")}`,
    ports: [],
    ...more,
  };
}
