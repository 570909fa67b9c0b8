/**
 * The table of all commands. Dispatch, help, completion and the man pages are made from it: a new command is one line here, and everything
 * else about it is in the command's own file.
 */
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
import { storage } from "./commands/storage.ts";
import * as system from "./commands/system.ts";
import { volumes } from "./commands/volumes.ts";
import type { Groups } from "./completion/table.ts";
import type { Command } from "./io.ts";

export const commands: readonly Command[] = [
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
  ...storage,
  events,
  system.inspect,
  system.version,
  system.info,
  system.plugins,
  completionOf(() => ({ all: commands, groups })),
  conformance,
];

/** The description of each group of commands. */
const aboutGroups: Readonly<Record<string, string>> = {
  container: "Manage containers",
  image: "Manage images",
  network: "Manage networks",
  storage: "Manage storage drivers",
  system: "Manage the engine",
  volume: "Manage volumes",
};

/** One way to write a command: its path, and arguments that this way inserts before the user's. */
interface Way {
  readonly command: Command;
  readonly words: readonly string[];
}

const ways: ReadonlyMap<string, Way> = new Map(
  commands.flatMap((command) => [
    [command.name, { command, words: [] }] as const,
    ...(command.aliases ?? []).map((alias) =>
      typeof alias === "string" ? ([alias, { command, words: [] }] as const) : ([alias.path, { command, words: alias.words }] as const),
    ),
  ]),
);

/** Group → verb → the command's name. */
export const groups: Groups = Object.fromEntries(
  Object.keys(aboutGroups).map((group) => [
    group,
    Object.fromEntries(
      [...ways].flatMap(([path, { command }]) =>
        path.startsWith(`${group} `) ? [[path.slice(group.length + 1), command.name] as const] : [],
      ),
    ),
  ]),
);

/** The command, group or overview that a command line asks for; `words` are the arguments after the command's path. */
export type Asked =
  | { readonly kind: "command"; readonly command: Command; readonly words: readonly string[] }
  | { readonly kind: "group"; readonly group: string; readonly about: string }
  | { readonly kind: "overview" };

const isHelp = (word: string): boolean => word === "--help" || word === "-h";

/** Throws an error for the user if there is no such command, or the group has no such verb. */
export function find(argv: readonly string[]): Asked {
  const [first = "", second = "", ...rest] = argv;
  if (first === "" || isHelp(first)) return { kind: "overview" };
  const way = ways.get(first);
  if (way !== undefined) return { kind: "command", command: way.command, words: argv.slice(1) };
  const about = Object.hasOwn(aboutGroups, first) ? aboutGroups[first] : undefined;
  if (about === undefined) throw unknown(first);
  if (second === "" || isHelp(second)) return { kind: "group", group: first, about };
  const grouped = ways.get(`${first} ${second}`);
  if (grouped === undefined) throw unknown(`${first} ${second}`);
  return { kind: "command", command: grouped.command, words: [...grouped.words, ...rest] };
}

const unknown = (path: string): CommandError => new CommandError(1, `unknown command: ${path}\n\nRun 'tsbox --help' for more information`);

/**
 * The bool flags of the commands whose later arguments belong to another program. The native client uses them to find `--help`
 * (`endpoint.rs`).
 */
export const standingFlags = (): readonly string[] => [
  ...new Set(
    commands.filter(({ ownWords }) => ownWords).flatMap(({ flags }) => Object.keys(flags).filter((name) => flags[name]?.kind === "bool")),
  ),
];
