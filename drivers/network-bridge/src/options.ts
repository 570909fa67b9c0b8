/** A network's options, with Docker's names. An unknown option is refused: it would have no effect. */
import { fail, type Network } from "@tsbox/kernel";

export interface BridgeOptions {
  readonly mtu: number | null;
  readonly masquerade: boolean;
}

const known = new Set([
  "com.docker.network.driver.mtu",
  "com.docker.network.bridge.name",
  "com.docker.network.bridge.enable_ip_masquerade",
]);

export function parseOptions({ name, options }: Network): BridgeOptions {
  for (const key of Object.keys(options))
    if (!known.has(key))
      throw fail("InvalidArgument", `network ${name}: option ${key} is unknown to bridge; it knows ${[...known].join(", ")}`);
  const mtu = options["com.docker.network.driver.mtu"];
  if (mtu !== undefined && !(Number(mtu) >= 68 && Number(mtu) <= 65_535))
    throw fail("InvalidArgument", `network ${name}: ${mtu} is no MTU; it is a number from 68 to 65535`);
  const bridge = options["com.docker.network.bridge.name"];
  if (bridge !== undefined && !/^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/.test(bridge))
    throw fail("InvalidArgument", `network ${name}: ${bridge} is no name for a bridge; it has 1 to 15 letters, digits, or any of _.-`);
  return {
    mtu: mtu === undefined ? null : Number(mtu),
    masquerade: options["com.docker.network.bridge.enable_ip_masquerade"] !== "false",
  };
}
