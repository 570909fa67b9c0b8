/** Finds free subnets on this host, and free addresses in a subnet. */
import { readFileSync } from "node:fs";
import { fail } from "@tsbox/kernel";
import { contains, overlap, parseSubnet, type Subnet, showAddress, showSubnet, size } from "./address.ts";

/** Candidates for the default bridge, then for networks that users create: small subnets of a large range, so that they don't run out. */
const forBridge: readonly Subnet[] = Array.from({ length: 16 }, (_, at) => parseSubnet(`10.${208 + at}.0.0/16`));
const forUsers: readonly Subnet[] = Array.from({ length: 1024 }, (_, at) => parseSubnet(`10.${224 + (at >> 8)}.${at & 255}.0/24`));

/**
 * How long a freed address is not given again, in milliseconds. It may still answer for 26 ms, while the kernel removes its interface, and
 * neighbours have it in their caches.
 */
const restFor = 2000;

/** The first candidate that overlaps neither a route of this host (including those of a VPN) nor another network of the engine. */
export function pickSubnet(kind: "bridge" | "user", taken: readonly Subnet[]): Subnet {
  const routes = hostRoutes();
  const found = (kind === "bridge" ? forBridge : forUsers).find(
    (candidate) => ![...taken, ...routes].some((other) => overlap(candidate, other)),
  );
  if (found) return found;
  throw fail(
    "ResourceExhausted",
    `no free subnet: all of ${kind === "bridge" ? "10.208.0.0/12" : "10.224.0.0/14"} is in use on this host; give one with --subnet`,
  );
}

/** The destinations of this host's routes, without the default route. */
export function hostRoutes(): readonly Subnet[] {
  const lines = readFileSync("/proc/net/route", "utf8").trim().split("\n").slice(1);
  return lines.flatMap((line) => {
    const fields = line.split("\t");
    // Little-endian hexadecimal.
    const number = (hex: string | undefined): number => Number.parseInt((hex ?? "0").match(/../g)?.reverse().join("") ?? "0", 16);
    const mask = number(fields[7]);
    const length = mask === 0 ? 0 : 32 - Math.log2(2 ** 32 - mask);
    return length === 0 ? [] : [{ first: number(fields[1]), length }];
  });
}

/** The addresses of one network, each with at most one holder. A freed address is not given again for a while. */
export class AddressPool {
  readonly #subnet: Subnet;
  readonly #held: Set<number> = new Set();
  /** Freed addresses, with the time. */
  readonly #resting: Map<number, number> = new Map();
  #next: number;

  constructor(subnet: Subnet, gateway: number) {
    this.#subnet = subnet;
    this.#held.add(gateway);
    this.#next = subnet.first + 1;
  }

  /** Takes `wanted` or fails; null: takes any free address. Returns the address without a prefix length. */
  take(wanted: number | null): string {
    const { first } = this.#subnet;
    if (wanted !== null) {
      if (!contains(this.#subnet, wanted))
        throw fail("InvalidArgument", `address ${showAddress(wanted)} is not in the network's subnet ${showSubnet(this.#subnet)}`);
      if (this.#held.has(wanted)) throw fail("AlreadyExists", `address ${showAddress(wanted)} is in use: leave out --ip, or give another`);
      return this.#give(wanted);
    }
    const last = first + size(this.#subnet) - 2;
    const now = Date.now();
    for (let tried = 0; tried < last - first; tried += 1) {
      const candidate = this.#next;
      this.#next = candidate >= last ? first + 1 : candidate + 1;
      const freed = this.#resting.get(candidate);
      if (this.#held.has(candidate) || (freed !== undefined && now - freed < restFor)) continue;
      return this.#give(candidate);
    }
    throw fail("ResourceExhausted", `no free address in ${showSubnet(this.#subnet)}: remove containers, or make a larger network`);
  }

  #give(address: number): string {
    this.#held.add(address);
    this.#resting.delete(address);
    return showAddress(address);
  }

  /** Marks an address of a container that runs since an earlier daemon. */
  hold(address: number): void {
    this.#held.add(address);
  }

  free(address: number): void {
    if (this.#held.delete(address)) this.#resting.set(address, Date.now());
    // Addresses that may be given again are forgotten. The oldest come first.
    for (const [old, freed] of this.#resting) {
      if (Date.now() - freed < restFor) break;
      this.#resting.delete(old);
    }
  }
}
