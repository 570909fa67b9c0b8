/** The toolkit's verbs for btrfs (kernel/src/contract/host-btrfs.ts). */
import type { HostBtrfs } from "@tsbox/kernel";
import type { Binding } from "./binding.ts";

export function createBtrfs(binding: Binding): HostBtrfs {
  return {
    async createSubvolume(call, path) {
      await binding.call(call, "createSubvolume", { path });
    },
    async snapshotSubvolume(call, from, to, options = {}) {
      await binding.call(call, "snapshotSubvolume", { from, to, readOnly: options.readOnly ?? false });
    },
    describeSubvolume: (call, path) => binding.call(call, "describeSubvolume", { path }),
    async setSubvolumeReadOnly(call, path, readOnly) {
      await binding.call(call, "setSubvolumeReadOnly", { path, readOnly });
    },
    listSubvolumes: (call, path, most) => binding.call(call, "listSubvolumes", { path, most }),
    async removeSubvolumes(call, path, ids) {
      await binding.call(call, "removeSubvolumes", { path, ids });
    },
    async awaitSubvolumes(call, path, ids, seconds) {
      await binding.call(call, "awaitSubvolumes", { path, ids, seconds });
    },
    async flattenSubvolume(call, path) {
      await binding.call(call, "flattenSubvolume", { path });
    },
    subvolumeUsage: (call, path) => binding.call(call, "subvolumeUsage", { path }),
    subvolumeQuotas: (call, path) => binding.call(call, "subvolumeQuotas", { path }),
    async enableSubvolumeQuotas(call, path) {
      await binding.call(call, "enableSubvolumeQuotas", { path });
    },
    async limitSubvolume(call, path, bytes) {
      await binding.call(call, "limitSubvolume", { path, bytes });
    },
    removeQuotaGroups: (call, path, ids) => binding.call(call, "removeQuotaGroups", { path, ids }),
  };
}
