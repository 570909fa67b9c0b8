/** A library for network drivers: host ports, reserved for endpoints while they are published. */
import { cleanupCall } from "./call.ts";
import { withCleanup } from "./cleanup.ts";
import type { Call } from "./contract/call.ts";
import type { HostToolkit } from "./contract/host.ts";
import type { PortMap } from "./contract/network.ts";
import { fail } from "./errors/index.ts";

/** The number of attempts to find a free range of ports. */
const rangeAttempts = 20;

export interface HeldPorts {
  /** The ports, with a number in place of each host port 0. */
  readonly ports: readonly PortMap[];
  readonly reservations: readonly number[];
}

/** Reserves all ports or none. */
export async function holdPorts(call: Call, host: HostToolkit, wanted: readonly PortMap[]): Promise<HeldPorts> {
  return withCleanup(async (cleanup) => {
    const ports: PortMap[] = [];
    const reservations: number[] = [];
    cleanup.undo(() => releasePorts(cleanupCall(call), host, reservations));
    for (const port of wanted) {
      const held = await holdRange(call, host, port);
      reservations.push(...held.reservations);
      ports.push(...held.ports);
    }
    return { ports, reservations };
  });
}

export async function releasePorts(call: Call, host: HostToolkit, reservations: readonly number[]): Promise<void> {
  for (const reservation of reservations) await host.releasePort(call, reservation);
}

async function holdRange(call: Call, host: HostToolkit, port: PortMap): Promise<HeldPorts> {
  if (port.count < 1 || Math.max(port.hostPort, port.containerPort) + port.count - 1 > 65_535)
    throw fail("InvalidArgument", `${port.count} ports from ${port.hostPort} to ${port.containerPort} on are no range of ports`);
  const address = port.hostAddress === "" ? "0.0.0.0" : port.hostAddress;
  if (address.includes(":")) throw fail("Unsupported", `ports are published on IPv4 addresses only, not on ${address}`);
  for (let attempt = 1; ; attempt++) {
    const reservations: number[] = [];
    try {
      let first = port.hostPort;
      for (let at = 0; at < port.count; at++) {
        const held = await host.reservePort(call, port.protocol, address, first === 0 ? 0 : first + at);
        reservations.push(held.reservation);
        if (at === 0) first = held.port;
      }
      return { ports: [{ ...port, hostAddress: address, hostPort: first }], reservations };
    } catch (error) {
      await releasePorts(cleanupCall(call), host, reservations);
      // Any free port was requested, and one after it is taken: another range may be free.
      if (port.hostPort !== 0 || port.count === 1 || attempt === rangeAttempts) throw error;
    }
  }
}
