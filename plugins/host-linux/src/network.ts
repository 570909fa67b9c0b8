/** The toolkit's verbs for the network (kernel/src/contract/host-network.ts). */
import { fail, type HostNetwork } from "@tsbox/kernel";
import type { Binding } from "./binding.ts";

export function createNetwork(binding: Binding): HostNetwork {
  const reserved = new Set<number>();
  return {
    async probeNetwork(call) {
      await binding.call(call, "probeNetwork", {});
    },
    async ensureBridge(call, bridge) {
      await binding.call(call, "ensureBridge", { bridge });
    },
    attachVeth: (call, veth) => binding.call(call, "attachVeth", { veth }),
    attachMacvlan: (call, macvlan) => binding.call(call, "attachMacvlan", { macvlan }),
    async makeVlan(call, vlan) {
      await binding.call(call, "makeVlan", { vlan });
    },
    async attachLoopback(call, netns) {
      await binding.call(call, "attachLoopback", { netns });
    },
    links: (call, prefix) => binding.call(call, "links", { prefix }),
    async removeLink(call, name, netns) {
      await binding.call(call, "removeLink", { name, netns: netns ?? null });
    },
    routes: (call) => binding.call(call, "routes", {}),
    async firewall(call, steps) {
      await binding.call(call, "firewall", { steps });
    },
    firewallElements: (call, table, set) => binding.call(call, "firewallElements", { table, set }),
    firewallTables: (call, prefix) => binding.call(call, "firewallTables", { prefix }),
    async reservePort(_call, protocol, address, port) {
      const held = binding.callNow("reservePort", { protocol, address, port });
      reserved.add(held.reservation);
      return held;
    },
    async releasePort(_call, reservation) {
      if (!reserved.delete(reservation)) throw fail("NotFound", `no port is reserved under ${reservation}`);
      binding.callNow("closeFd", { fd: reservation });
    },
  };
}
