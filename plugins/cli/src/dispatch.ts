/** From a command line to a command, and from what it throws to words and an exit code. */
import { type ApiService, engineVersion, errorTable, isTsboxError } from "@tsbox/kernel";
import { CommandError } from "./command-error.ts";
import * as archives from "./commands/archives.ts";
import { completionOf } from "./commands/completion.ts";
import { conformance } from "./commands/conformance.ts";
import * as containers from "./commands/containers.ts";
import { cp } from "./commands/cp.ts";
import { events } from "./commands/events.ts";
import { history } from "./commands/history.ts";
import * as images from "./commands/images.ts";
import { networks } from "./commands/networks.ts";
import { ps } from "./commands/ps.ts";
import { pull } from "./commands/pull.ts";
import { create, run } from "./commands/run.ts";
import * as running from "./commands/running.ts";
import { attach, debug, exec } from "./commands/sessions.ts";
import * as space from "./commands/space.ts";
import * as system from "./commands/system.ts";
import { volumes } from "./commands/volumes.ts";
import { asksForHelp, helpText, parseFlags, rememberUsage } from "./flags.ts";
import type { Command, Io } from "./io.ts";
import { plain } from "./plain.ts";

const all: readonly Command[] = [
  run,
  create,
  exec,
  attach,
  debug,
  running.top,
  running.stats,
  running.update,
  running.port,
  containers.start,
  containers.stop,
  containers.restart,
  containers.kill,
  containers.pause,
  containers.unpause,
  containers.wait,
  containers.rename,
  containers.rm,
  ps,
  containers.logs,
  images.images,
  images.rmi,
  images.tag,
  archives.load,
  archives.save,
  archives.importCommand,
  archives.exportCommand,
  archives.commit,
  archives.diff,
  history,
  cp,
  space.containerPrune,
  space.imagePrune,
  space.systemDf,
  space.systemCheck,
  space.systemPrune,
  pull,
  ...networks,
  ...volumes,
  events,
  system.inspect,
  system.version,
  system.info,
  system.plugins,
  completionOf(() => ({ all, groups: { ...groups, container: { ...ofContainers, ...groups.container } } })),
  conformance,
];
const commands = new Map(all.map((command) => [command.name, command]));
for (const command of all) rememberUsage(command.name, command.usage);

/** docker's longer names: `container ls` is `ps`. */
const groups: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  network: verbsOf("network", { list: "ls", remove: "rm" }),
  volume: verbsOf("volume", { list: "ls", remove: "rm" }),
  container: { ls: "ps", list: "ps", ps: "ps", prune: "container prune" },
  image: { ls: "images", list: "images", rm: "rmi", remove: "rmi", prune: "image prune" },
  system: { events: "events", info: "info", check: "system check", df: "system df", prune: "system prune" },
};

/** Commands that are `container`'s as they are. */
const ofContainers: Readonly<Record<string, string>> = Object.fromEntries(
  all.filter(({ usage }) => / CONTAINER/.test(usage) && !usage.includes("NETWORK")).map(({ name }) => [name, name]),
);

/**
 * Flags that stand alone, of the commands whose later words are another program's. The native client finds a wish for help among them
 * (`endpoint.rs`).
 */
export const standingFlags = (): readonly string[] => [
  ...new Set(
    all.filter(({ ownWords }) => ownWords).flatMap(({ flags }) => Object.keys(flags).filter((name) => flags[name]?.kind === "bool")),
  ),
];

/** Answers the exit code. */
export async function dispatch(io: Io, api: ApiService, argv: readonly string[]): Promise<number> {
  let command: Command | undefined;
  try {
    const words = globalFlags(argv);
    const [name = "", ...rest] = longName(words);
    if (name === "" || name === "help" || name === "--help" || name === "-h") {
      await io.out(topic(rest.filter((word) => word !== "--help")));
      return 0;
    }
    if (name === "--version" || name === "-v") {
      await io.out(`tsbox version ${engineVersion}\n`);
      return 0;
    }
    command = commands.get(name);
    if (command === undefined && groupOf(words) !== null) {
      await io.out(groupText(groupOf(words) ?? ""));
      return 0;
    }
    if (command === undefined) throw new CommandError(1, `unknown command: ${name}\n\nRun 'tsbox --help' for more information`);
    if (asksForHelp(rest, command.flags, !command.ownWords)) {
      await io.out(helpText(command.name, command.about, command.flags));
      return 0;
    }
    const parsed = parseFlags(command.name, rest, command.flags, !command.ownWords);
    checkCount(command, parsed.words.length);
    return await command.run(io, api, parsed);
  } catch (error) {
    // The reader of a pipe has seen enough, which is nobody's failure.
    if ((error as NodeJS.ErrnoException).code === "EPIPE") throw error;
    return failed(io, command, error);
  }
}

/** Of `help WORDS`. */
function topic(words: readonly string[]): string {
  const [name = ""] = longName(words);
  const about = commands.get(name);
  if (about) return helpText(about.name, about.about, about.flags);
  const group = groupOf(words);
  if (group !== null) return groupText(group);
  if (name === "" || Object.hasOwn(groups, name)) return overview();
  throw new CommandError(1, `unknown help topic: ${words.join(" ")}`);
}

/** The group that is named alone, or with nothing but a wish for help. */
function groupOf([group = "", ...rest]: readonly string[]): string | null {
  return strict(group) && rest.every((word) => word === "--help" || word === "-h") ? group : null;
}

/** Whether a command line is for the user's own process: its command says so, and help is not what is asked for. */
export function runsLocally(argv: readonly string[]): boolean {
  const [name = "", ...rest] = longName(globalFlags(argv));
  const local = commands.get(name)?.local ?? false;
  return (typeof local === "function" ? local(rest) : local) && !rest.includes("--help");
}

/** Before the command: the host was the client's business. */
function globalFlags(argv: readonly string[]): readonly string[] {
  let at = 0;
  while (at < argv.length) {
    const word = argv[at] ?? "";
    if (
      word === "-H" ||
      word === "--host" ||
      word === "--config" ||
      word === "-c" ||
      word === "--context" ||
      word === "-l" ||
      word === "--log-level"
    )
      at += 2;
    else if (/^--(host|config|context|log-level)=/.test(word) || /^-H./.test(word) || word === "-D" || word === "--debug") at += 1;
    else break;
  }
  return argv.slice(at);
}

function longName(words: readonly string[]): readonly string[] {
  const [group = "", name = "", ...rest] = words;
  if (!Object.hasOwn(groups, group)) return words;
  const verb = groups[group]?.[name];
  if (verb !== undefined) return [verb, ...rest];
  // `container stop` is `stop`; but no `volume stop`.
  return strict(group) ? [`${group} ${name}`.trim(), ...rest] : [name, ...rest];
}

/** Whether a word is a group, and nothing but one. */
const strict = (word: string): boolean =>
  !["container", "image", "system"].includes(word) && all.some(({ name }) => name.startsWith(`${word} `));

function groupText(group: string): string {
  const own = all.filter(({ name }) => name.startsWith(`${group} `));
  const width = Math.max(...own.map(({ name }) => name.length));
  const lines = own.map((command) => `  ${command.name.slice(group.length + 1).padEnd(width)}   ${command.about}`);
  return `\nUsage:  tsbox ${group} COMMAND\n\nCommands:\n${lines.join("\n")}\n\nRun 'tsbox ${group} COMMAND --help' for more information on a command.\n`;
}

/** A group whose commands carry its name: `volume ls`. */
function verbsOf(group: string, others: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const own = all.filter(({ name }) => name.startsWith(`${group} `)).map(({ name }) => [name.slice(group.length + 1), name] as const);
  return Object.fromEntries([...own, ...Object.entries(others).map(([other, name]) => [other, `${group} ${name}`] as const)]);
}

function checkCount({ name, words: [least, most], usage }: Command, count: number): void {
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
  throw new CommandError(1, `'tsbox ${name}' ${wants}\n\nUsage:  tsbox ${usage}\n\nRun 'tsbox ${name} --help' for more information`);
}

async function failed(io: Io, command: Command | undefined, error: unknown): Promise<number> {
  if (error instanceof CommandError) {
    await io.err(`tsbox: ${error.message}\n`);
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

function overview(): string {
  const width = Math.max(...all.map((command) => command.name.length));
  return `\nUsage:  tsbox [OPTIONS] COMMAND\n\nA container engine with drivers of your choice\n\nCommands:\n${[...all]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((command) => `  ${command.name.padEnd(width)}   ${command.about}`)
    .join(
      "\n",
    )}\n  ${"daemon".padEnd(width)}   Run the engine, stop it (daemon stop), or have it start with this host (daemon enable)\n\nOptions:\n  -H, --host string   Engine to talk to (unix://, tcp://, ssh://)\n\nRun 'tsbox COMMAND --help' for more information on a command.\n`;
}
