/** What the storage drivers hold, and the migration from one to another. */
import type { ContainersService, StorageApi } from "@tsbox/kernel";
import { lines } from "./images.ts";

export function storageVerbs(containers: ContainersService): StorageApi {
  return {
    storageList: async (call) =>
      (await containers.storageUse(call)).map(({ id, preferred, layers, containers: own, leftBehind }) => ({
        Driver: id,
        Default: preferred,
        Layers: layers.count,
        LayersSize: layers.bytes,
        Containers: own.count,
        ContainersSize: own.bytes,
        LeftBehind: leftBehind.count,
        LeftBehindSize: leftBehind.bytes,
      })),
    storagePlan: async (call, from, to, options) => {
      const plan = await containers.planMigration(call, { from, to, ...options });
      return {
        Layers: plan.layers.map(({ name, bytes, source }) => ({ Name: name, Size: bytes, Source: source })),
        Containers: plan.containers.map(({ id, name, running, bytes }) => ({ Id: id, Name: name, Running: running, Size: bytes })),
        Bytes: plan.bytes,
        WholeBytes: plan.wholeBytes,
        ScratchBytes: plan.scratchBytes,
        LeftBehindBytes: plan.leftBehind.bytes,
        Refusals: plan.refusals,
      };
    },
    storageMigrate: async (call, from, to, options) => lines(await containers.migrate(call, { from, to, ...options })),
  };
}
