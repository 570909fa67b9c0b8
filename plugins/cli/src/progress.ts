/** Progress of long commands as docker's `pull` shows it: a line for each change in a pipe; on a terminal a line for each object. */
import { type ProgressLine, plainCell } from "@tsbox/kernel";
import { CommandError } from "./command-error.ts";

/** Lines that are printed on a terminal alone: their numbers change all the time. */
const passing = /^(Downloading|Extracting|Copying)$/;

/** An error of the stream is thrown as the command's. */
export async function showProgress(
  lines: AsyncIterable<ProgressLine>,
  write: (text: string | Uint8Array) => Promise<void>,
  redraw: boolean,
): Promise<void> {
  const rows = new Map<string, number>();
  const last = new Map<string, string>();
  for await (const line of lines) {
    throwError(line);
    const { id, status, progressDetail } = line as { id?: string; status?: string; progressDetail?: { current?: number; total?: number } };
    if (status === undefined) continue;
    if (id === undefined) {
      await write(`${status}\n`);
      continue;
    }
    if (!redraw) {
      if (last.get(id) !== status && !passing.test(status)) await write(`${id}: ${status}\n`);
      last.set(id, status);
      continue;
    }
    const known = rows.get(id);
    if (known === undefined) rows.set(id, rows.size);
    const up = known === undefined ? 0 : rows.size - known;
    const text = `${id}: ${status}${bar(progressDetail)}`;
    await write(up === 0 ? `${text}\n` : Buffer.from(`\x1b[${up}A\r\x1b[2K${plainCell(text)}\x1b[${up}B\r`));
  }
}

export function throwError(line: ProgressLine): void {
  if (typeof line.error === "string") throw new CommandError(1, line.error);
}

function bar(detail: { current?: number; total?: number } | undefined): string {
  if (detail?.current === undefined || !detail.total) return "";
  const width = 30;
  const done = Math.min(width, Math.floor((detail.current / detail.total) * width));
  return ` [${"=".repeat(done)}${done < width ? ">" : ""}${" ".repeat(Math.max(0, width - done - 1))}] ${Math.floor((detail.current / detail.total) * 100)}%`;
}
