/** The storage suite: a driver that passes it can be trusted with images and containers. */
import type { Rule } from "../rule.ts";
import { type Kind, openTarget } from "../target.ts";
import { cancelRules } from "./cancel-rules.ts";
import { extentRules } from "./extent-rules.ts";
import { fullRules } from "./full-rules.ts";
import { killRules } from "./kill-rules.ts";
import { storagePerformance } from "./performance.ts";
import { powerRules } from "./power-rules.ts";
import { makeRealWorld } from "./real-world.ts";
import { sequenceRules } from "./sequence-rules.ts";
import { treeRules } from "./tree-rules.ts";
import { wordRules } from "./word-rules.ts";
import type { StorageWorld } from "./world.ts";

export const storageRules: readonly Rule<StorageWorld>[] = [
  ...treeRules,
  ...wordRules,
  ...extentRules,
  ...powerRules,
  ...cancelRules,
  ...killRules,
  ...sequenceRules,
  ...fullRules,
];

export const storageKind: Kind<StorageWorld> = {
  rules: storageRules,
  whyNot: () => null,
  world: (target, host, directory) =>
    makeRealWorld({
      host,
      directory,
      leastDisk: target.leastDisk,
      module: target.module === undefined ? undefined : { specifier: target.module, id: target.id, config: target.config },
      open: async (_call, own) => {
        const { value, close } = await openTarget("storage", target, host, own);
        return { driver: value, close };
      },
    }),
  performance: storagePerformance,
};
