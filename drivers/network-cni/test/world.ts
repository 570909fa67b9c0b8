/** Configurations of Debian's CNI plugins in a temporary directory, and containers' namespaces. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { openToolkit } from "@tsbox/conformance";
import { type Case, temporaryDirectory } from "@tsbox/harness";
import { type Call, createCall, type Endpoint, type EndpointId, type HostToolkit, type Network, silentLog } from "@tsbox/kernel";
import { CniDriver } from "../src/driver.ts";
import { parseSettings } from "../src/settings.ts";

export const call: Call = createCall(silentLog);
export const debian = "/usr/lib/cni";
export const missing: string | null = existsSync(join(debian, "host-local")) ? null : "needs containernetworking-plugins: scripts/packages";
const run = promisify(execFile);

export interface World {
  readonly driver: CniDriver;
  readonly host: HostToolkit;
  readonly directory: string;
  /** Another daemon of the same engine. */
  again(): CniDriver;
  /** Writes a configuration; answers its path. */
  write(configuration: { readonly name: string } & Record<string, unknown>): string;
  /** Makes a plugin of a shell script. */
  plugin(type: string, script: string): void;
  /** The addresses that host-local has given away in a network. */
  leases(name: string): Promise<readonly string[]>;
  /** For host-local. */
  ipam(subnet: string, more?: Record<string, unknown>): Record<string, unknown>;
}

export async function world(test: Case, timeout = 60): Promise<World> {
  const opened = await openToolkit();
  if ("skip" in opened) return test.skip(opened.skip);
  test.cleanup(() => opened.close());
  const { host } = opened;
  const directory = temporaryDirectory(test);
  for (const name of ["plugins", "net.d", "state", "leases"]) mkdirSync(join(directory, name));
  await command("ip", "link", "set", "lo", "up");
  const settings = parseSettings({ plugins: [join(directory, "plugins"), debian], configurations: join(directory, "net.d"), timeout });
  const make = (): CniDriver => new CniDriver(host, settings, join(directory, "state"));
  const driver = make();
  test.cleanup(() => driver.close(call));
  // What a failed case has left mounted would hold up the removal of the directory.
  test.cleanup(async () => {
    for (const path of mountsBelow(directory)) await command("umount", "--lazy", path);
  });
  return {
    driver,
    host,
    directory,
    again: make,
    write(configuration) {
      const path = join(directory, "net.d", `${configuration.name}.conflist`);
      writeFileSync(path, JSON.stringify(configuration));
      return path;
    },
    plugin(type, script) {
      writeFileSync(join(directory, "plugins", type), `#!/bin/sh\n${script}\n`);
      chmodSync(join(directory, "plugins", type), 0o755);
    },
    leases: async (name) =>
      (await command("find", join(directory, "leases"), "-path", `*/${name}/[0-9]*`, "-printf", "%f\n"))
        .trim()
        .split("\n")
        .filter(Boolean)
        .sort(),
    ipam: (subnet, more = {}) => ({
      type: "host-local",
      dataDir: join(directory, "leases"),
      ranges: [[{ subnet }]],
      routes: [{ dst: "0.0.0.0/0" }],
      ...more,
    }),
  };
}

export const mountsBelow = (directory: string): readonly string[] =>
  readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((point) => point.startsWith(`${directory}/`));

/** A process in a new network namespace that waits until its stdin is closed. */
export async function namespace(test: Case): Promise<{ readonly path: string; end(): Promise<void> }> {
  const child = spawn("unshare", ["--net", "sh", "-c", "echo ready; cat"], { stdio: ["pipe", "pipe", "inherit"] });
  test.cleanup(() => end(child));
  await once(child.stdout, "data");
  return { path: `/proc/${child.pid}/ns/net`, end: () => end(child) };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}

/** Answers each connection to `port` with a word. */
export async function serve(test: Case, netns: string, port: number): Promise<void> {
  const script = `require("node:net").createServer(s => s.end("hello")).listen(${port}, "0.0.0.0", () => console.log("ready"))`;
  const child = spawn("nsenter", [`--net=${netns}`, process.execPath, "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  test.cleanup(() => end(child));
  await once(child.stdout, "data");
}

/** The answer of the server at `address`; null: no answer within half a second, or a refusal. */
export async function ask(address: string, port: number): Promise<string | null> {
  const script = `const s = require("node:net").connect(${port}, "${address}"); s.setTimeout(500, () => s.destroy(new Error("late")));
    s.on("data", d => console.log(String(d))).on("error", () => console.log("none"))`;
  const { stdout } = await run(process.execPath, ["-e", script]);
  return stdout.trim() === "none" ? null : stdout.trim();
}

export async function command(...argv: readonly string[]): Promise<string> {
  const [program = "", ...rest] = argv;
  return (await run(program, rest)).stdout;
}

export const within = (netns: string, ...argv: readonly string[]): Promise<string> => command("nsenter", `--net=${netns}`, ...argv);

export function network(digit: string, conf: string, more: Partial<Network> = {}): Network {
  return { id: digit.repeat(64) as Network["id"], name: `net${digit}`, subnets: [], internal: false, options: { conf }, ...more };
}

export function endpoint(number: number, netns: string, more: Partial<Endpoint> = {}): Endpoint {
  return {
    id: number.toString(16).padStart(64, "e") as EndpointId,
    container: "c".repeat(64) as Endpoint["container"],
    netns,
    interface: "eth0",
    addresses: [],
    mac: null,
    ports: [],
    ...more,
  };
}
