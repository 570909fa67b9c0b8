/** Parses numbers as users type them. */
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

const spans: Readonly<Record<string, number>> = { ns: 1, us: 1e3, µs: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };

/** The longest of Go's durations, some 292 years: 63 bits of nanoseconds. */
const longest = 2 ** 63;

/** Go's durations with an optional sign: `1h30m`, `-2.5s`, `0` → nanoseconds. */
export function duration(flag: string, text: string): number {
  const wrong = (): CommandError =>
    new CommandError(125, `invalid argument "${text}" for "--${flag}" flag: time: invalid duration "${text}"`);
  const [, sign = "", rest = ""] = /^([+-]?)(.*)$/.exec(text) ?? [];
  if (rest === "0") return 0;
  if (!/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/.test(rest)) throw wrong();
  let total = 0;
  for (const [, amount, unit] of rest.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)) total += Number(amount) * (spans[unit ?? ""] ?? 0);
  if (total >= longest) throw wrong();
  return Math.round(total) * (sign === "-" ? -1 : 1);
}
