/**
 * Attached endpoints, until the host's next start: `STATE/NETWORK/ENDPOINT.json` with what DEL needs, which gets the configuration and the
 * result of ADD, even if the operator has changed the file since; and `STATE/NETWORK/ENDPOINT.netns`, on which the namespace is mounted, so
 * that DEL finds it after the container's end, and never another one.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Call, type EndpointId, fail, type HostToolkit, type NetworkId, type PortMap } from "@tsbox/kernel";
import type { Configuration } from "./configuration.ts";

export interface EndpointState {
  readonly configuration: Configuration;
  readonly interface: string;
  readonly runtimeConfig: Readonly<Record<string, unknown>>;
  readonly ports: readonly PortMap[];
  /** Null: ADD has not answered. */
  readonly result: unknown;
}

/** statfs(2) of a namespace's file. */
const nsfs = 0x6e736673;

export class Records {
  readonly #host: HostToolkit;
  readonly #directory: string;

  constructor(host: HostToolkit, stateDirectory: string) {
    this.#host = host;
    this.#directory = stateDirectory;
  }

  /** Answers the path of the mounted namespace. */
  async pin(call: Call, network: NetworkId, endpoint: EndpointId, netns: string): Promise<string> {
    mkdirSync(join(this.#directory, network), { recursive: true });
    const path = this.#path(network, endpoint, "netns");
    writeFileSync(path, "", { flag: "a" });
    await this.#command(call, "mount", "--bind", netns, path);
    return path;
  }

  /** Empty: the namespace is not there any more, since the host has started anew. */
  netns(network: NetworkId, endpoint: EndpointId): string {
    const path = this.#path(network, endpoint, "netns");
    return existsSync(path) && statfsSync(path).type === nsfs ? path : "";
  }

  write(network: NetworkId, endpoint: EndpointId, state: EndpointState): void {
    const path = this.#path(network, endpoint, "json");
    mkdirSync(join(this.#directory, network), { recursive: true });
    writeFileSync(`${path}.new`, JSON.stringify(state));
    renameSync(`${path}.new`, path);
  }

  read(network: NetworkId, endpoint: EndpointId): EndpointState | null {
    try {
      return JSON.parse(readFileSync(this.#path(network, endpoint, "json"), "utf8")) as EndpointState;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
  }

  /** The record goes last: what fails before is tried again. */
  async forget(call: Call, network: NetworkId, endpoint: EndpointId): Promise<void> {
    const path = this.#path(network, endpoint, "netns");
    if (this.netns(network, endpoint) !== "") await this.#command(call, "umount", "--lazy", path);
    rmSync(path, { force: true });
    rmSync(this.#path(network, endpoint, "json"), { force: true });
  }

  endpoints(network: NetworkId): readonly EndpointId[] {
    const names = namesIn(join(this.#directory, network)).flatMap((name) => /^([0-9a-f]{64})\.(json|netns)$/.exec(name)?.[1] ?? []);
    return [...new Set(names)] as unknown as readonly EndpointId[];
  }

  networks(): readonly NetworkId[] {
    return namesIn(this.#directory) as unknown as readonly NetworkId[];
  }

  removeNetwork(network: NetworkId): void {
    rmSync(join(this.#directory, network), { recursive: true, force: true });
  }

  #path(network: NetworkId, endpoint: EndpointId, ending: string): string {
    return join(this.#directory, network, `${endpoint}.${ending}`);
  }

  async #command(call: Call, ...argv: readonly string[]): Promise<void> {
    const environment = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" };
    const { exitCode, stderr } = await this.#host.run(call, { argv, environment, workingDirectory: "/" });
    if (exitCode === 0) return;
    const why = Buffer.from(stderr).toString().trim().split("\n").at(-1) ?? "";
    throw fail("FailedPrecondition", `${argv[0]} of a network namespace failed: ${why === "" ? `it exited with ${exitCode}` : why}`);
  }
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
