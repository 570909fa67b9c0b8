/** The volume suite: a driver that passes it keeps its volumes' contents. */
import { tmpdir } from "node:os";
import type { HostToolkit, Plugin } from "@tsbox/kernel";
import { openDriver } from "../plugin-subject.ts";
import { registerRules, type TestRunner } from "../run.ts";
import { openToolkit } from "../toolkit.ts";
import { makeVolumeWorld, type VolumeSubject } from "./real-world.ts";
import { volumeRules } from "./rules.ts";

export { volumeRules };

/**
 * Registers every rule as a test case, over the driver that `plugin` provides as `id`. A host without the toolkit skips them, with the
 * reason.
 */
export async function volumeSuite(test: TestRunner, plugin: Plugin, id: string, directory: string = tmpdir()): Promise<void> {
  const toolkit = await openToolkit();
  if ("skip" in toolkit) {
    for (const rule of volumeRules) test(`${rule.id}: ${rule.title}`, async ({ skip }) => skip(toolkit.skip));
    return;
  }
  registerRules(test, volumeRules, () => makeVolumeWorld(volumeSubject(plugin, id, toolkit.host, directory)));
  test("the toolkit closes", () => toolkit.close());
}

export function volumeSubject(plugin: Plugin, id: string, host: HostToolkit, directory: string, config?: unknown): VolumeSubject {
  return {
    host,
    directory,
    open: async (_call, own) => {
      const { value, close } = await openDriver(plugin, "volume", id, { directory: own, services: { host }, config });
      return { driver: value, close };
    },
  };
}
