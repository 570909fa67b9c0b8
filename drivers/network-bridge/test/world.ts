/** Containers for a network driver: namespaces with a server or a client in them. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { promisify } from "node:util";
import { openToolkit } from "@tsbox/conformance";
import type { Case } from "@tsbox/harness";
import { type Call, createCall, type Endpoint, type EndpointId, type HostToolkit, type Network, silentLog } from "@tsbox/kernel";

export const call: Call = createCall(silentLog);
const run = promisify(execFile);

export async function toolkit(test: Case): Promise<HostToolkit> {
  const opened = await openToolkit();
  if ("skip" in opened) return test.skip(opened.skip);
  test.cleanup(() => opened.close());
  return opened.host;
}

/** A process in a new network namespace that waits until its stdin is closed. Returns the namespace's path. */
export async function namespace(test: Case): Promise<string> {
  const child = spawn("unshare", ["--net", "sh", "-c", "echo ready; cat"], { stdio: ["pipe", "pipe", "inherit"] });
  test.cleanup(() => end(child));
  await once(child.stdout, "data");
  return `/proc/${child.pid}/ns/net`;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}

/** Answers each connection to `port` with its source address. */
export async function serve(test: Case, netns: string, port: number): Promise<void> {
  const script = `require("node:net").createServer(s => s.end(s.remoteAddress)).listen(${port}, "0.0.0.0", () => console.log("ready"))`;
  const child = spawn("nsenter", [`--net=${netns}`, process.execPath, "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  test.cleanup(() => end(child));
  await once(child.stdout, "data");
}

/** The answer of the server at `address`; null: no answer within half a second, or a refusal. */
export async function ask(netns: string, address: string, port: number): Promise<string | null> {
  const script = `const s = require("node:net").connect(${port}, "${address}"); s.setTimeout(500, () => s.destroy(new Error("late")));
    s.on("data", d => console.log(String(d).replace("::ffff:", ""))).on("error", () => console.log("none"))`;
  const { stdout } = await run("nsenter", [`--net=${netns}`, process.execPath, "-e", script]);
  return stdout.trim() === "none" ? null : stdout.trim();
}

export async function command(...argv: readonly string[]): Promise<string> {
  const [program = "", ...rest] = argv;
  return (await run(program, rest)).stdout;
}

export function network(digit: string, more: Partial<Network> = {}): Network {
  const id = digit.repeat(64) as Network["id"];
  const number = Number.parseInt(digit, 16) + 100;
  return {
    id,
    name: `net${digit}`,
    subnets: [{ cidr: `10.${number}.0.0/24`, gateway: `10.${number}.0.1` }],
    internal: false,
    options: {},
    ...more,
  };
}

export function endpoint(of: Network, number: number, netns: string, more: Partial<Endpoint> = {}): Endpoint {
  const gateway = of.subnets[0]?.gateway ?? "";
  const id = `${number.toString(16).padStart(7, "0")}${of.id}`.slice(0, 64) as EndpointId;
  return {
    id,
    container: "c".repeat(64) as Endpoint["container"],
    netns,
    interface: "eth0",
    addresses: [`${gateway.replace(/\.1$/, `.${number + 1}`)}/24`],
    mac: null,
    ports: [],
    ...more,
  };
}
