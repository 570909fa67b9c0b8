/** IPv4 arithmetic. Addresses are unsigned numbers; a subnet is its first address and prefix length. */
import { fail } from "@tsbox/kernel";

export interface Subnet {
  readonly first: number;
  readonly length: number;
}

export function parseAddress(text: string): number {
  const parts = text.split(".").map((part) => (/^\d{1,3}$/.test(part) ? Number(part) : Number.NaN));
  if (parts.length !== 4 || !parts.every((part) => part <= 255)) throw fail("InvalidArgument", `invalid address: ${text}`);
  return parts.reduce((sum, part) => sum * 256 + part, 0);
}

export const showAddress = (address: number): string => [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");

export function parseSubnet(text: string): Subnet {
  const [address = "", length = ""] = text.split("/");
  const bits = Number(length);
  if (!/^\d{1,2}$/.test(length) || bits < 8 || bits > 30)
    throw fail("InvalidArgument", `invalid subnet ${text}: give ADDRESS/LENGTH with a length from 8 to 30`);
  const subnet = { first: parseAddress(address), length: bits };
  if (subnet.first % size(subnet) !== 0)
    throw fail(
      "InvalidArgument",
      `invalid subnet ${text}: it should be ${showAddress(subnet.first - (subnet.first % size(subnet)))}/${bits}`,
    );
  return subnet;
}

export const showSubnet = ({ first, length }: Subnet): string => `${showAddress(first)}/${length}`;
export const size = ({ length }: Subnet): number => 2 ** (32 - length);
export const contains = (subnet: Subnet, address: number): boolean => address >= subnet.first && address < subnet.first + size(subnet);
export const overlap = (a: Subnet, b: Subnet): boolean => contains(a, b.first) || contains(b, a.first);

/** Checks that the gateway is a host address of the subnet. */
export function checkGateway(subnet: Subnet, gateway: string): void {
  const address = parseAddress(gateway);
  if (!contains(subnet, address))
    throw fail("InvalidArgument", `no matching subnet for gateway ${gateway}: ${showSubnet(subnet)} is the network's`);
  if (address === subnet.first || address === subnet.first + size(subnet) - 1)
    throw fail(
      "InvalidArgument",
      `gateway ${gateway} is the network's own or its broadcast address: give another of ${showSubnet(subnet)}`,
    );
}
