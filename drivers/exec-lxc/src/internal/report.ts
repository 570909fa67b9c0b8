/** What LXC's log says of a start that failed, or of an end. */
import type { ErrorCode } from "@tsbox/kernel";

/** How many of LXC's errors are shown: the last one is mostly a consequence of those before it. */
const shown = 3;

export function explainLog(log: string): { readonly code: ErrorCode; readonly message: string } | { readonly exitCode: number } {
  const lines = log.split("\n");
  const errors = lines
    .filter((line) => / ERROR {2,}/.test(line) && !isOptional(line, log))
    .map((line) => line.replace(/^.* - [^ ]+:\w+:\d+ - /, ""));
  if (errors.length > 0) return { code: "Internal", message: `LXC: ${errors.slice(0, shown).join("; ")}` };
  const signal = lines.map((line) => /ended on signal \w+\((\d+)\)/.exec(line)?.[1]).findLast((found) => found !== undefined);
  if (signal !== undefined) return { exitCode: 128 + Number(signal) };
  const code = lines.map((line) => /ended on error \((\d+)\)/.exec(line)?.[1]).findLast((found) => found !== undefined);
  return { exitCode: Number(code ?? 0) };
}

/** LXC calls the failure of an optional mount an error, and says in another line that it goes on. */
function isOptional(line: string, log: string): boolean {
  const target = /Failed to mount "[^"]*" onto "([^"]*)"/.exec(line)?.[1];
  return target !== undefined && log.includes(`on "${target}" (optional)`);
}
