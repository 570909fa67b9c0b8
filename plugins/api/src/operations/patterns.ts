/** Regular expressions of clients. Some take longer than anybody can wait, and the daemon has one thread. */
import { createContext, Script } from "node:vm";
import { fail } from "@tsbox/kernel";

/** Milliseconds for one comparison. */
const longest = 100;
const script = new Script("pattern.test(text)");
const sandbox: { pattern?: RegExp; text?: string } = {};
let context: object | undefined;

/** `InvalidArgument`: the comparison takes too long. */
export function fits(pattern: RegExp, text: string): boolean {
  // Without repetition nothing takes long, and the guard costs a millisecond.
  if (!/[*+?{]/.test(pattern.source)) return pattern.test(text);
  context ??= createContext(sandbox);
  Object.assign(sandbox, { pattern, text });
  try {
    return script.runInContext(context, { timeout: longest }) as boolean;
  } catch (error) {
    throw fail("InvalidArgument", `the pattern ${pattern.source.slice(0, 100)} takes too long: give a simpler one`, { cause: error });
  }
}
