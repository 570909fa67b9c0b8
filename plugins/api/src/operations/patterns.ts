/** Regular expressions of clients. Some of them take exponential time, and the daemon has one thread. */
import { createContext, Script } from "node:vm";
import { fail } from "@tsbox/kernel";

/** Milliseconds for all comparisons in one turn of the event loop: those of one list, however long it is. */
const longest = 100;
/** Milliseconds of this turn that comparisons have taken. */
let spent = 0;
let isNewTurn = true;
/** Milliseconds of one comparison that are not the pattern's. */
const overhead = 2;
const script = new Script("pattern.test(text)");
const sandbox: { pattern?: RegExp; text?: string } = {};
let context: object | undefined;

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
  const began = performance.now();
  try {
    return script.runInContext(context, { timeout: Math.max(1, Math.ceil(longest - spent)) }) as boolean;
  } catch (error) {
    throw fail("InvalidArgument", `the pattern ${pattern.source.slice(0, 100)} takes too long: give a simpler one`, { cause: error });
  } finally {
    // What the limit itself costs does not count, or a long list would use up the time.
    spent += Math.max(0, performance.now() - began - overhead);
  }
}
