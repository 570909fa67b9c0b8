/** Regular expressions of clients. Some of them take exponential time, and the daemon has one thread. */
import { createContext, Script } from "node:vm";
import { fail } from "./errors/index.ts";

/**
 * Milliseconds of processor time for all comparisons in one turn of the event loop: those of one list, however long it is. Not of the
 * clock: on a busy machine a harmless comparison waits for a processor.
 */
const longest = 100;
/** The guard itself counts by the clock. A comparison that it stops too early begins again, at most this often. */
const mostTries = 20;
/** Milliseconds of this turn that comparisons have taken. */
let spent = 0;
let isNewTurn = true;
// Measured inside: starting the guard takes longer than most comparisons.
const script = new Script("began = now(); matched = pattern.test(text); took = now() - began; matched");
const sandbox: { pattern?: RegExp; text?: string; began?: number; took?: number; readonly now: () => number } = { now: processorTime };
let context: object | undefined;

/** Milliseconds of processor time that this thread has used. */
function processorTime(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** Whether the text matches. `InvalidArgument`: the comparisons of this turn of the event loop take more than 100 ms together. */
export function fits(pattern: RegExp, text: string): boolean {
  // Without repetition and alternatives the time is linear, and the time limit itself costs a millisecond.
  if (!/[*+?{|]/.test(pattern.source)) return pattern.test(text);
  context ??= createContext(sandbox);
  Object.assign(sandbox, { pattern, text });
  if (isNewTurn)
    setImmediate(() => {
      spent = 0;
      isNewTurn = true;
    });
  isNewTurn = false;
  for (let tries = 0; spent < longest && tries < mostTries; tries += 1) {
    const before = processorTime();
    try {
      const matched = script.runInContext(context, { timeout: Math.ceil(longest - spent) }) as boolean;
      spent += sandbox.took ?? 0;
      return matched;
    } catch {
      spent += processorTime() - before;
    }
  }
  throw fail("InvalidArgument", `the pattern ${pattern.source.slice(0, 100)} takes too long: give a simpler one`);
}
