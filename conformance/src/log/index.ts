/** The log suite: a driver that passes it brings the output of containers to its sink, and never waits for it. */
import { type Kind, openTarget } from "../target.ts";
import { makeLogWorld } from "./real-world.ts";
import { logRules } from "./rules.ts";
import type { LogWorld } from "./world.ts";

export { logRules };

export const logKind: Kind<LogWorld> = {
  rules: logRules,
  whyNot: () => null,
  // The driver may need to know where its sink is.
  trial: async (target) => {
    const sink = await target.logSink?.();
    return { config: sink?.config ?? target.config, close: async () => sink?.close() };
  },
  world: (target, host, directory) =>
    makeLogWorld({
      host,
      directory,
      sink: target.logSink,
      open: (own, sink) => openTarget("log", { ...target, config: sink?.config ?? target.config }, host, own),
    }),
};
