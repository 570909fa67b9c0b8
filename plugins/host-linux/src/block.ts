/** The toolkit's verbs for block devices (kernel/src/contract/host-block.ts). */
import type { HostBlock } from "@tsbox/kernel";
import type { Binding } from "./binding.ts";

export function createBlock(binding: Binding): HostBlock {
  return {
    mapperTargets: (call) => binding.call(call, "mapperTargets", {}),
    mapDevice: (call, name, row, options = {}) => binding.call(call, "mapDevice", { name, row, readOnly: options.readOnly ?? false }),
    async reloadDevice(call, name, row) {
      await binding.call(call, "reloadDevice", { name, row });
    },
    async resumeDevice(call, name) {
      await binding.call(call, "resumeDevice", { name });
    },
    unmapDevice: (call, name) => binding.call(call, "unmapDevice", { name }),
    async messageDevice(call, name, message, options = {}) {
      await binding.call(call, "messageDevice", { name, message, suspended: options.suspended ?? null });
    },
    mappedDevice: (call, name) => binding.call(call, "mappedDevice", { name }),
    mappedDevices: (call, prefix) => binding.call(call, "mappedDevices", { prefix }),
    attachLoop: (call, file) => binding.call(call, "attachLoop", { file }),
    async releaseLoop(_call, { hold }) {
      binding.callNow("closeFd", { fd: hold });
    },
    async discardDevice(call, path) {
      await binding.call(call, "discardDevice", { path });
    },
    async growFileSystem(call, root, bytes) {
      await binding.call(call, "growFileSystem", { root, bytes });
    },
    projectUsage: (call, root) => binding.call(call, "projectUsage", { root }),
    limitGrowth: (call, root, bytes) => binding.call(call, "limitGrowth", { root, bytes }),
  };
}
