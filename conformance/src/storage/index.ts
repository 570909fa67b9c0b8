/** The storage suite: a driver that passes it can be trusted with images and containers. */
import type { Rule } from "../rule.ts";
import { registerRules, type TestRunner } from "../run.ts";
import { powerRules } from "./power-rules.ts";
import { makeRealWorld, type StorageSubject } from "./real-world.ts";
import { treeRules } from "./tree-rules.ts";
import { wordRules } from "./word-rules.ts";
import type { StorageWorld } from "./world.ts";

export const storageRules: readonly Rule<StorageWorld>[] = [...treeRules, ...wordRules, ...powerRules];

/** Registers every rule as a case; `skip` is why this host can't show any of them, or null. */
export function storageSuite(test: TestRunner, subject: StorageSubject | { readonly skip: string }): void {
  if ("skip" in subject) {
    for (const rule of storageRules) test(`${rule.id}: ${rule.title}`, async ({ skip }) => skip(subject.skip));
    return;
  }
  registerRules(test, storageRules, () => makeRealWorld(subject));
}
