import { type Call, type HostToolkit, isTsboxError, type Probe } from "@tsbox/kernel";

/** Asks the kernel for a macvlan on the loopback interface, which it refuses for that reason, or because it has no macvlan at all. */
export async function probe(call: Call, host: HostToolkit): Promise<Probe> {
  const wanted = { parent: "lo", mode: "bridge", netns: "/proc/self/ns/net", interface: "tsbprobe", mac: null, mtu: null } as const;
  try {
    await host.attachMacvlan(call, { ...wanted, addresses: [], routes: [] });
    return { usable: true };
  } catch (error) {
    if (!isTsboxError(error)) throw error;
    if (error.code === "PermissionDenied") return { usable: false, reason: error.message, hint: "run the engine as root" };
    if (error.code === "Unsupported") return { usable: false, reason: error.message, hint: null };
    return { usable: true };
  }
}
