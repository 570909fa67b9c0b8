/** The exec suite: a driver that passes it starts containers as their specs say, and isolates them. */
import { tmpdir } from "node:os";
import type { HostToolkit, Plugin } from "@tsbox/kernel";
import { openDriver } from "../plugin-subject.ts";
import type { Rule } from "../rule.ts";
import { registerRules, type TestRunner } from "../run.ts";
import { openToolkit } from "../toolkit.ts";
import { detailRules } from "./detail-rules.ts";
import { isolationRules } from "./isolation-rules.ts";
import { processRules } from "./process-rules.ts";
import { type ExecSubject, makeExecWorld, whyNoExecWorld } from "./real-world.ts";
import { streamRules } from "./stream-rules.ts";
import { wordRules } from "./word-rules.ts";
import type { ExecWorld } from "./world.ts";

export const execRules: readonly Rule<ExecWorld>[] = [...wordRules, ...processRules, ...isolationRules, ...detailRules, ...streamRules];

/**
 * Registers every rule as a test case, over the driver that `plugin` provides as `id`. A host that can't start containers skips them, with
 * the reason.
 */
export async function execSuite(test: TestRunner, plugin: Plugin, id: string, directory: string = tmpdir()): Promise<void> {
  const toolkit = await openToolkit();
  const reason = "skip" in toolkit ? toolkit.skip : whyNoExecWorld();
  if ("skip" in toolkit || reason !== null) {
    for (const rule of execRules) test(`${rule.id}: ${rule.title}`, async ({ skip }) => skip(reason ?? ""));
    return;
  }
  registerRules(test, execRules, () => makeExecWorld(execSubject(plugin, id, toolkit.host, directory)));
  test("the toolkit closes", () => toolkit.close());
}

export function execSubject(plugin: Plugin, id: string, host: HostToolkit, directory: string, config?: unknown): ExecSubject {
  return {
    directory,
    open: async (own) => {
      const { value, close } = await openDriver(plugin, "exec", id, { directory: own, services: { host }, config });
      return { driver: value, close };
    },
  };
}
