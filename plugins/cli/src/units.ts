/** Numbers as users type them. */
import { CommandError } from "./command-error.ts";

/** `512`, `64m`, `1.5g`, `2GiB` → bytes; null → 0. */
export function bytes(flag: string, text: string | null): number {
  if (text === null) return 0;
  const match = /^(\d+(?:\.\d+)?)\s*([bkmgtp]?)(?:i?b)?$/i.exec(text);
  if (!match) throw new CommandError(125, `invalid argument "${text}" for "--${flag}" flag: invalid size: '${text}'`);
  return Math.round(Number(match[1]) * 1024 ** Math.max(0, "bkmgtp".indexOf((match[2] || "b").toLowerCase())));
}

export function count(flag: string, text: string): number {
  if (/^-?\d+$/.test(text)) return Number(text);
  throw new CommandError(125, `invalid argument "${text}" for "--${flag}" flag: not a whole number`);
}
