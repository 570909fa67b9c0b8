/** Parses signals by name or number, as Docker does. */
import { constants } from "node:os";
import { fail } from "./errors/index.ts";

const realTimeMinimum = 34;
const highest = 64;
/** Names that Docker knows and Node does not. */
const aliases: Readonly<Record<string, number>> = { SIGCLD: constants.signals.SIGCHLD };

export function signalNumber(text: string): number {
  if (/^\d+$/.test(text)) {
    const number = Number(text);
    if (number > 0 && number <= highest) return number;
  }
  const name = text.toUpperCase().replace(/^(?:SIG)?/, "SIG");
  const known = (constants.signals as Readonly<Record<string, number>>)[name] ?? aliases[name];
  if (known !== undefined) return known;
  const realTime = /^SIGRTM(IN|AX)(?:([+-])(\d+))?$/.exec(name);
  if (realTime) {
    const from = realTime[1] === "IN" ? realTimeMinimum : highest;
    const number = from + (realTime[2] === "-" ? -1 : 1) * Number(realTime[3] ?? 0);
    if (number >= realTimeMinimum && number <= highest) return number;
  }
  throw fail("InvalidArgument", `Invalid signal: ${text}`);
}
