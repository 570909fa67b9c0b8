/** Finds and runs the command of a command line, and converts its errors to a message and an exit code. */
import { type ApiService, engineVersion, errorTable, isTsboxError, plain } from "@tsbox/kernel";
import { CommandError, UsageError } from "./command-error.ts";
import { find } from "./command-table.ts";
import { asksForHelp, type Parsed, parseFlags } from "./flags.ts";
import { withoutGlobalFlags } from "./global-flags.ts";
import { commandHelp, groupHelp, overview, topic } from "./help.ts";
import type { Command, Io } from "./io.ts";

/** Answers the exit code. */
export async function dispatch(io: Io, api: ApiService, argv: readonly string[]): Promise<number> {
  const asked = await understand(io, argv);
  if (typeof asked === "number") return asked;
  if (typeof asked === "string") return guarded(io, undefined, () => io.out(asked).then(() => 0));
  return guarded(io, asked.command, () => asked.command.run(io, api, asked.parsed));
}

/** Reports an unknown command, wrong flags and a wrong number of words. Answers the exit code; 0: the command line can be run. */
export async function checkWords(io: Pick<Io, "err" | "call">, argv: readonly string[]): Promise<number> {
  const asked = await understand(io, argv);
  return typeof asked === "number" ? asked : 0;
}

/** A command with its parsed words, a text to print, or the exit code of an error that has been reported. */
async function understand(
  io: Pick<Io, "err" | "call">,
  argv: readonly string[],
): Promise<{ readonly command: Command; readonly parsed: Parsed } | string | number> {
  let command: Command | undefined;
  try {
    const line = withoutGlobalFlags(argv);
    const [first = ""] = line;
    if (first === "help") return topic(line.slice(1).filter((word) => word !== "--help"));
    if (first === "--version" || first === "-v") return `tsbox version ${engineVersion}\n`;
    const asked = find(line);
    if (asked.kind === "overview") return overview();
    if (asked.kind === "group") return groupHelp(asked.group, asked.about);
    command = asked.command;
    if (asksForHelp(asked.words, command.flags, !command.ownWords)) return commandHelp(command);
    const parsed = parseFlags(command.name, asked.words, command.flags, !command.ownWords);
    checkCount(command, parsed.words.length);
    return { command, parsed };
  } catch (error) {
    return failed(io, command, error);
  }
}

async function guarded(io: Io, command: Command | undefined, work: () => Promise<number>): Promise<number> {
  try {
    return await work();
  } catch (error) {
    // The reader of the pipe has closed it, which is not a failure of the command.
    if ((error as NodeJS.ErrnoException).code === "EPIPE") throw error;
    return failed(io, command, error);
  }
}

/** Whether a command line has to run in the user's own process: its command requires it, and `--help` is not given. */
export function runsLocally(argv: readonly string[]): boolean {
  try {
    const asked = find(withoutGlobalFlags(argv));
    if (asked.kind !== "command") return false;
    const { local = false } = asked.command;
    return (typeof local === "function" ? local(asked.words) : local) && !asked.words.includes("--help");
  } catch {
    // The command itself reports the error.
    return false;
  }
}

function checkCount({ name, words: [least, most] }: Command, count: number): void {
  if (count >= least && count <= most) return;
  const plural = (number: number): string => `${number} argument${number === 1 ? "" : "s"}`;
  const wants =
    least === most
      ? least === 0
        ? "accepts no arguments"
        : `requires ${plural(least)}`
      : count < least
        ? `requires at least ${plural(least)}`
        : `requires at most ${plural(most)}`;
  throw new UsageError(1, `'tsbox ${name}' ${wants}`, name);
}

async function failed(io: Pick<Io, "err" | "call">, command: Command | undefined, error: unknown): Promise<number> {
  if (error instanceof CommandError) {
    const message = error instanceof UsageError && command !== undefined ? error.withUsage(command.usage) : error.message;
    await io.err(`tsbox: ${message}\n`);
    return error.exitCode;
  }
  if (isTsboxError(error)) {
    await io.err(`tsbox: ${oneLine(error.message)}\n`);
    return command?.runs ? errorTable[error.code].exit : 1;
  }
  if ((error as NodeJS.ErrnoException | null)?.code === "ECONNRESET") {
    await io.err("tsbox: the engine broke off its answer: its log says why\n");
    return command?.runs ? 125 : 1;
  }
  await io.err(`tsbox: internal error: ${oneLine(error instanceof Error ? error.message : String(error))}\n`);
  io.call.log.error(error instanceof Error ? (error.stack ?? error.message) : String(error));
  return command?.runs ? 125 : 1;
}

const oneLine = (text: string): string => plain(text.replace(/\s*\n\s*/g, " "));
