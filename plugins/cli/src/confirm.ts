/** The question before what can't be undone. Standard input is the user's own process's, so who asks runs there. */
import { createInterface } from "node:readline/promises";
import type { Io } from "./io.ts";

/** Command lines that will ask are for the user's own process; `-f` asks nothing. */
export const asksFirst = (words: readonly string[]): boolean => !words.some((word) => word === "--force" || /^-[a-z]*f[a-z]*$/.test(word));

/** As docker: whatever does not begin with y means no, the end of input too. */
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
