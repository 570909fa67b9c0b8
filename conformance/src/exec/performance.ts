/**
 * The times of a container's start, of an exec in it, and of its end, and its memory. What the suite itself does then is the same for every
 * format.
 */

import { type Measurement, measure, measureMemory } from "../measure.ts";
import { expect } from "../rule.ts";
import { script } from "./spec.ts";
import type { ExecWorld } from "./world.ts";

const memoryRounds = 3;

export async function execPerformance(makeWorld: () => Promise<ExecWorld>): Promise<readonly Measurement[]> {
  const world = await makeWorld();
  try {
    const starts = await measure(["start", "stop"], async (_at, timed) => {
      const container = await timed("start", async () => {
        const started = await world.start(world.bundle(script("echo ready; read line")));
        await started.shows("ready\n");
        return started;
      });
      await timed("stop", () => end(container));
    });
    const container = await world.start(world.bundle(script("echo ready; read line")));
    await container.shows("ready\n");
    const execs = await measure(["exec"], async (_at, timed) => {
      const code = await timed("exec", () => container.exec("true"));
      expect(code === 0, `an exec of true exited with ${code}`);
    });
    await end(container);
    const memory = await measureMemory("memory of a container", memoryRounds, async () => {
      const idle = await world.start(world.bundle(script("echo ready; read line")));
      await idle.shows("ready\n");
      const kibibytes = idle.memory();
      await end(idle);
      return kibibytes;
    });
    return [...starts.slice(0, 1), ...execs, ...starts.slice(1), memory];
  } finally {
    await world.close();
  }
}

/** Its command reads a line and ends: so drivers whose processes the host can't signal are measured, too. */
async function end(container: Awaited<ReturnType<ExecWorld["start"]>>): Promise<void> {
  container.write("\n");
  await container.ended;
}
