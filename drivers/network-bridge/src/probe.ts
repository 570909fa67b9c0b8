import { type Call, type HostToolkit, isTsboxError, type Probe } from "@tsbox/kernel";

/** Makes a bridge, a veth pair, and each kind of rule in a temporary network namespace. */
export async function probe(call: Call, host: HostToolkit): Promise<Probe> {
  try {
    await host.probeNetwork(call);
    return { usable: true };
  } catch (error) {
    if (!isTsboxError(error)) throw error;
    const hint =
      error.code === "PermissionDenied"
        ? "run the engine as root"
        : "needs a kernel with bridge, veth, and nftables with NAT (nf_tables, nft_nat, nft_masq, nft_fib)";
    return { usable: false, reason: error.message, hint };
  }
}
