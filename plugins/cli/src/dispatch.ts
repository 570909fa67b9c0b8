/** Finds and runs the command of a command line, and converts its errors to a message and an exit code. */
import { type ApiService, engineVersion, errorTable, isTsboxError, plain } from "@tsbox/kernel";
import { CommandError, UsageError } from "./command-error.ts";
import { find } from "./command-table.ts";
import { asksForHelp, parseFlags } from "./flags.ts";
import { withoutGlobalFlags } from "./global-flags.ts";
import { commandHelp, groupHelp, overview, topic } from "./help.ts";
import type { Command, Io } from "./io.ts";

/** Answers the exit code. */
export async function dispatch(io: Io, api: ApiService, argv: readonly string[]): Promise<number> {
  let command: Command | undefined;
  const print = async (text: string): Promise<number> => {
    await io.out(text);
    return 0;
  };
  try {
    const line = withoutGlobalFlags(argv);
    const [first = ""] = line;
    if (first === "help") return await print(topic(line.slice(1).filter((word) => word !== "--help")));
    if (first === "--version" || first === "-v") return await print(`tsbox version ${engineVersion}\n`);
    const asked = find(line);
    if (asked.kind === "overview") return await print(overview());
    if (asked.kind === "group") return await print(groupHelp(asked.group, asked.about));
    command = asked.command;
    if (asksForHelp(asked.words, command.flags, !command.ownWords)) return await print(commandHelp(command));
    const parsed = parseFlags(command.name, asked.words, command.flags, !command.ownWords);
    checkCount(command, parsed.words.length);
    return await command.run(io, api, parsed);
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

async function failed(io: Io, command: Command | undefined, error: unknown): Promise<number> {
  if (error instanceof CommandError) {
    const message = error instanceof UsageError && command !== undefined ? error.withUsage(command.usage) : error.message;
    await io.err(`tsbox: ${message}\n`);
    return error.exitCode;
  }
  if (isTsboxError(error)) {
    await io.err(`tsbox: ${oneLine(error.message)}\n`);
    return command?.runs ? errorTable[error.code].exit : 1;
  }
  await io.err(`tsbox: internal error: ${oneLine(error instanceof Error ? error.message : String(error))}\n`);
  io.call.log.error(error instanceof Error ? (error.stack ?? error.message) : String(error));
  return command?.runs ? 125 : 1;
}

const oneLine = (text: string): string => plain(text.replace(/\s*\n\s*/g, " "));
