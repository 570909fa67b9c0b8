/** The exec suite: a driver that passes it starts containers as their specs say, and isolates them. */
import type { Rule } from "../rule.ts";
import { type Kind, openTarget } from "../target.ts";
import { detailRules } from "./detail-rules.ts";
import { isolationRules } from "./isolation-rules.ts";
import { execPerformance } from "./performance.ts";
import { processRules } from "./process-rules.ts";
import { makeExecWorld, whyNoExecWorld } from "./real-world.ts";
import { streamRules } from "./stream-rules.ts";
import { wordRules } from "./word-rules.ts";
import type { ExecWorld } from "./world.ts";

export const execRules: readonly Rule<ExecWorld>[] = [...wordRules, ...processRules, ...isolationRules, ...detailRules, ...streamRules];

export const execKind: Kind<ExecWorld> = {
  rules: execRules,
  whyNot: whyNoExecWorld,
  world: (target, host, directory) =>
    makeExecWorld({
      directory,
      open: async (own) => {
        const { value, close } = await openTarget("exec", target, host, own);
        return { driver: value, close };
      },
    }),
  performance: execPerformance,
};
