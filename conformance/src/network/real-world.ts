/** A world of real network namespaces. The host's own is that of this process. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import {
  type Call,
  createCall,
  type HostToolkit,
  type Network,
  type NetworkDriver,
  newContainerId,
  newEndpointId,
  newNetworkId,
  type Strings,
  silentLog,
} from "@tsbox/kernel";
import type { Inside, NetworkWorld } from "./world.ts";

export interface NetworkSubject {
  /** Opens the driver over `root` and `state` below its own directory; after a crash again with the same one. */
  open(call: Call, directory: string): Promise<{ readonly driver: NetworkDriver; close(): Promise<void> }>;
  readonly host: HostToolkit;
  readonly directory: string;
  /** The options of the networks that the suite makes. */
  readonly options: Strings;
}

const run = promisify(execFile);
/** Milliseconds within which the interfaces of an ended namespace go. */
const settling = 10_000;
/** Of 10.253.0.0/16, a subnet for each network. */
let subnets = 0;

export async function makeNetworkWorld({ open, host, directory, options }: NetworkSubject): Promise<NetworkWorld> {
  const call = createCall(silentLog);
  const base = mkdtempSync(join(directory, "conformance-"));
  const opened = [await open(call, base)];
  const current = (): NetworkDriver => {
    const last = opened.at(-1);
    if (last === undefined) throw new Error("no driver is open");
    return last.driver;
  };
  const has = (power: string): boolean => (current().powers as readonly string[]).includes(power);
  const isGiven = !has("ipam") && !has("single") && !has("hostNamespace");
  const networks = [newNetwork(isGiven, options), newNetwork(isGiven, options)] as const;
  const processes = new Map<string, ChildProcess>();
  const links = async (): Promise<readonly string[]> => (await host.links(call, "")).map(({ name }) => name).sort();
  const atFirst = await links();
  let addresses = 1;
  const end = async (netns: string): Promise<void> => {
    const child = processes.get(netns);
    if (child === undefined || !processes.delete(netns)) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  };
  /** Interfaces go a moment after their namespace. */
  const onHost = async (): Promise<readonly string[]> => {
    for (let before = await links(), until = Date.now() + settling; ; ) {
      await pause(60);
      const now = await links();
      if (Date.now() > until || now.join() === before.join()) return now;
      before = now;
    }
  };
  return {
    get driver() {
      return current();
    },
    get powers() {
      return current().powers;
    },
    call,
    networks,
    async namespace() {
      const child = spawn("unshare", ["--net", "sh", "-c", "echo ready; cat"], { stdio: ["pipe", "pipe", "inherit"] });
      const netns = `/proc/${child.pid}/ns/net`;
      processes.set(netns, child);
      await once(child.stdout, "data");
      return netns;
    },
    end,
    endpoint(network, netns, more = {}) {
      addresses += 1;
      const gateway = network.subnets[0]?.gateway;
      return {
        id: newEndpointId(),
        container: newContainerId(),
        netns,
        interface: "eth0",
        addresses: gateway === undefined ? [] : [`${gateway.replace(/1$/, String(addresses))}/24`],
        mac: null,
        ports: [],
        ...more,
      };
    },
    inside,
    reaches: (netns, address) =>
      run("nsenter", [`--net=${netns}`, "ping", "-c", "1", "-w", "5", address]).then(
        () => true,
        () => false,
      ),
    crash: async () => void opened.push(await open(call, base)),
    onHost,
    async close() {
      for (const netns of [...processes.keys()]) await end(netns);
      for (const network of networks) {
        for await (const id of await current().list(call, network)) await current().detach(call, network, { id });
        await current().remove(call, network);
      }
      for (const each of opened.reverse()) await each.close();
      const isLeft = (name: string): boolean => !atFirst.includes(name);
      for (const until = Date.now() + settling; (await links()).some(isLeft) && Date.now() < until; ) await pause(20);
      const left = (await links()).filter(isLeft);
      if (left.length > 0) throw new Error(`interfaces are left on the host: ${left.join(", ")}`);
      if (readFileSync("/proc/self/mountinfo", "utf8").includes(` ${base}/`)) throw new Error("something is still mounted");
      rmSync(base, { recursive: true, force: true });
    },
  };
}

function newNetwork(isGiven: boolean, options: Strings): Network {
  const id = newNetworkId();
  subnets = (subnets + 1) % 256;
  const given = [{ cidr: `10.253.${subnets}.0/24`, gateway: `10.253.${subnets}.1` }];
  return { id, name: `conformance-${id.slice(0, 8)}`, subnets: isGiven ? given : [], internal: false, options };
}

interface ShownLink {
  readonly ifname: string;
  readonly address: string;
  readonly flags: readonly string[];
  readonly addr_info: readonly { readonly family: string; readonly local: string; readonly prefixlen: number }[];
}
interface ShownRoute {
  readonly gateway?: string;
}

async function inside(netns: string): Promise<Inside> {
  const shown = async <T>(...argv: readonly string[]): Promise<readonly T[]> => {
    const { stdout } = await run("nsenter", [`--net=${netns}`, "ip", "-j", ...argv]);
    return JSON.parse(stdout.trim() === "" ? "[]" : stdout) as readonly T[];
  };
  const links = await shown<ShownLink>("addr", "show");
  const routes = await shown<ShownRoute>("-4", "route", "show", "default");
  return {
    loopback: links.some(({ ifname, flags }) => ifname === "lo" && flags.includes("UP")),
    interfaces: links
      .filter(({ ifname }) => ifname !== "lo")
      .map((link) => ({
        name: link.ifname,
        mac: link.address,
        addresses: link.addr_info.filter(({ family }) => family === "inet").map(({ local, prefixlen }) => `${local}/${prefixlen}`),
      })),
    gateways: routes.flatMap(({ gateway }) => gateway ?? []),
  };
}
