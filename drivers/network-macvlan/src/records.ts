/**
 * What the driver remembers until the host's next start: `STATE/NETWORK/parent`, the name of the interface that the driver made for the
 * network, and `STATE/NETWORK/endpoints/ID`, an empty file for each attached endpoint. A container's interface is in the container's
 * namespace, where the host does not see it.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { EndpointId, NetworkId } from "@tsbox/kernel";

export class Records {
  readonly #directory: string;

  constructor(stateDirectory: string) {
    this.#directory = stateDirectory;
  }

  addEndpoint(network: NetworkId, endpoint: EndpointId): void {
    mkdirSync(join(this.#directory, network, "endpoints"), { recursive: true });
    writeFileSync(join(this.#directory, network, "endpoints", endpoint), "");
  }

  removeEndpoint(network: NetworkId, endpoint: EndpointId): void {
    rmSync(join(this.#directory, network, "endpoints", endpoint), { force: true });
  }

  endpoints(network: NetworkId): readonly EndpointId[] {
    return namesIn(join(this.#directory, network, "endpoints")) as readonly EndpointId[];
  }

  setParent(network: NetworkId, name: string): void {
    const path = join(this.#directory, network, "parent");
    mkdirSync(join(this.#directory, network), { recursive: true });
    writeFileSync(`${path}.new`, name);
    renameSync(`${path}.new`, path);
  }

  parent(network: NetworkId): string | null {
    try {
      return readFileSync(join(this.#directory, network, "parent"), "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
  }

  /** Whether another network uses an interface that the driver made. */
  isShared(network: NetworkId, name: string): boolean {
    return namesIn(this.#directory).some((other) => other !== network && this.parent(other as NetworkId) === name);
  }

  forget(network: NetworkId): void {
    rmSync(join(this.#directory, network), { recursive: true, force: true });
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
