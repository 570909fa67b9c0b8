/** The storage suite: a driver that passes it can be trusted with images and containers. */
import { tmpdir } from "node:os";
import type { HostToolkit, Plugin } from "@tsbox/kernel";
import { openDriver } from "../plugin-subject.ts";
import type { Rule } from "../rule.ts";
import { registerRules, type TestRunner } from "../run.ts";
import { openToolkit } from "../toolkit.ts";
import { killRules } from "./kill-rules.ts";
import { powerRules } from "./power-rules.ts";
import { makeRealWorld, type StorageSubject } from "./real-world.ts";
import { treeRules } from "./tree-rules.ts";
import { wordRules } from "./word-rules.ts";
import type { StorageWorld } from "./world.ts";

export const storageRules: readonly Rule<StorageWorld>[] = [...treeRules, ...wordRules, ...powerRules, ...killRules];

/**
 * Registers every rule as a test case, over the driver that `plugin` provides as `id`, on the file system of `directory` (by default a
 * temporary one). A host without the toolkit skips them, with the reason. `specifier`: the plugin's module, so that it can be opened, and
 * killed, in a separate process.
 */
export async function storageSuite(
  test: TestRunner,
  plugin: Plugin,
  id: string,
  directory: string = tmpdir(),
  specifier?: string,
): Promise<void> {
  const toolkit = await openToolkit();
  if ("skip" in toolkit) {
    for (const rule of storageRules) test(`${rule.id}: ${rule.title}`, async ({ skip }) => skip(toolkit.skip));
    return;
  }
  registerRules(test, storageRules, () =>
    makeRealWorld({
      ...storageSubject(plugin, id, toolkit.host, directory),
      ...(specifier === undefined ? {} : { module: { specifier, id } }),
    }),
  );
  test("the toolkit closes", () => toolkit.close());
}

export function storageSubject(plugin: Plugin, id: string, host: HostToolkit, directory: string, config?: unknown): StorageSubject {
  return {
    host,
    directory,
    open: async (_call, own) => {
      const { value, close } = await openDriver(plugin, "storage", id, { directory: own, services: { host }, config });
      return { driver: value, close };
    },
  };
}
