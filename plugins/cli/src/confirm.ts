/**
 * Asks for confirmation before an operation that can't be undone. It needs standard input, so such a command runs in the user's own
 * process.
 */
import { createInterface } from "node:readline/promises";
import type { Io } from "./io.ts";

/** Whether a command line asks for confirmation, and so must run in the user's own process; with `-f` it does not. */
export const asksFirst = (words: readonly string[]): boolean => !words.some((word) => word === "--force" || /^-[a-z]*f[a-z]*$/.test(word));

/** As in docker: only an answer that begins with y means yes; the end of input means no. */
export async function confirmed(io: Io, warning: string): Promise<boolean> {
  await io.out(`WARNING! ${warning}\nAre you sure you want to continue? [y/N] `);
  const lines = createInterface({ input: process.stdin });
  try {
    for await (const line of lines) return /^y(es)?$/i.test(line.trim());
    return false;
  } finally {
    lines.close();
  }
}
