/** The output of `--help` and `help`, made from the command table. */
import { commands, find, groups } from "./command-table.ts";
import type { FlagSpecs } from "./flags.ts";
import type { Command } from "./io.ts";

/** A flag as help and man pages write it: `-e, --env list`. */
export function flagWords(name: string, { short, kind, value }: FlagSpecs[string]): string {
  const long = `--${name}${kind === "bool" ? "" : ` ${value ?? (kind === "list" ? "list" : "string")}`}`;
  return short ? `-${short}, ${long}` : long;
}

export function commandHelp({ usage, about, flags }: Command): string {
  const rows = Object.entries(flags)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, spec]): readonly [string, string] => [`${spec.short ? "" : "    "}${flagWords(name, spec)}`, spec.help]);
  const width = Math.max(0, ...rows.map(([flag]) => flag.length));
  const options = rows.map(([flag, help]) => `  ${flag.padEnd(width)}   ${help}`).join("\n");
  return `\nUsage:  tsbox ${usage}\n\n${about}\n${rows.length > 0 ? `\nOptions:\n${options}\n` : ""}`;
}

export function groupHelp(group: string, about: string): string {
  const own = Object.entries(groups[group] ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  const width = Math.max(...own.map(([verb]) => verb.length));
  const lines = own.map(([verb, name]) => `  ${verb.padEnd(width)}   ${commands.find((command) => command.name === name)?.about}`);
  return `\nUsage:  tsbox ${group} COMMAND\n\n${about}\n\nCommands:\n${lines.join("\n")}\n\nRun 'tsbox ${group} COMMAND --help' for more information on a command.\n`;
}

/** The text of `help WORDS`. An unknown topic is an error for the user. */
export function topic(words: readonly string[]): string {
  const asked = find(words);
  if (asked.kind === "overview") return overview();
  return asked.kind === "group" ? groupHelp(asked.group, asked.about) : commandHelp(asked.command);
}

const daemon = "Run the engine, stop it (daemon stop), or have it start with this host (daemon enable)";

export function overview(): string {
  const rows = [...commands.map(({ name, about }) => [name, about] as const).sort(([a], [b]) => (a < b ? -1 : 1)), ["daemon", daemon]];
  const width = Math.max(...rows.map(([name = ""]) => name.length));
  return `
Usage:  tsbox [OPTIONS] COMMAND

A container engine with drivers of your choice

Commands:
${rows.map(([name = "", about = ""]) => `  ${name.padEnd(width)}   ${about}`).join("\n")}

Options:
  -H, --host string   Engine to talk to (unix://, tcp://, ssh://)

Run 'tsbox COMMAND --help' for more information on a command.
`;
}
