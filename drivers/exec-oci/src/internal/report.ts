/** What a runtime's log says about a start that failed: one JSON object a line, as runc has defined it. */
import type { ErrorCode } from "@tsbox/kernel";

/** Docker's rule: what the runtime's words say about the command decides between 127, 126 and 125. */
const codes: readonly (readonly [RegExp, ErrorCode])[] = [
  [
    /executable file (`.*` )?not found|exec: .*no such file or directory|finding executable .* in \$?PATH|cannot find .* in PATH/i,
    "CommandNotFound",
  ],
  [
    /(exec: |failed to load |open executable: ).*(permission denied|operation not permitted|is a directory|exec format error|not a directory)|not executable/i,
    "NotExecutable",
  ],
];

export function reported(log: string): { readonly code: ErrorCode; readonly message: string } | null {
  const last = log
    .split("\n")
    .map(messageOf)
    .filter((message) => message !== null)
    .at(-1);
  if (last === undefined) return null;
  return { code: codes.find(([words]) => words.test(last))?.[1] ?? "Internal", message: last };
}

/** The message of an error; null: the line says something else. */
function messageOf(line: string): string | null {
  try {
    const { level, msg } = JSON.parse(line) as { readonly level?: unknown; readonly msg?: unknown };
    return typeof msg === "string" && (level === "error" || level === "fatal" || level === "panic") ? msg.trim() : null;
  } catch {
    // The last line of a runtime that was killed is cut off.
    return null;
  }
}
