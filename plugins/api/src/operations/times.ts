/** Parses Docker's times: seconds since the epoch with a fraction, RFC 3339, or a duration before now (`10m`, `1h30m`). */
import { fail } from "@tsbox/kernel";

const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** The time in milliseconds since the epoch. */
export function parseTime(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  if (/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) {
    let span = 0;
    for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) span += Number(amount) * (units[unit ?? ""] ?? 0);
    return Date.now() - span;
  }
  const at = Date.parse(text);
  if (Number.isNaN(at))
    throw fail("InvalidArgument", `invalid time "${text}": give seconds since the epoch, RFC 3339 or a span such as 10m`);
  return at;
}

/** The time in nanoseconds since the epoch, as decimal digits: `logs` compares with exactly the times that it has shown. */
export function parseMoment(text: string): string {
  const unix = /^(\d+)(?:\.(\d+))?$/.exec(text);
  if (unix) return digits(unix[1] ?? "0", unix[2] ?? "");
  const fraction = /T\d\d:\d\d:\d\d\.(\d+)/.exec(text)?.[1];
  const milliseconds = parseTime(text);
  return fraction === undefined
    ? String(BigInt(Math.round(milliseconds * 1000)) * 1000n)
    : digits(String(Math.floor(milliseconds / 1000)), fraction);
}

const digits = (seconds: string, fraction: string): string => String(BigInt(`${seconds}${fraction.slice(0, 9).padEnd(9, "0")}`));
