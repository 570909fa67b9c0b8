/**
 * Manual pages, made from the command table: `tsbox.1` and one for each command (`tsbox-run.1`). Packages install them in
 * /usr/share/man/man1; `node plugins/cli/src/man.ts DIR` writes them.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { engineVersion } from "@tsbox/kernel";
import { commands } from "./command-table.ts";
import { flagWords } from "./help.ts";
import type { Command } from "./io.ts";

/** Escapes text for roff: a hyphen becomes a minus, no line begins with a control character, and characters beyond ASCII become numbers. */
const escaped = (text: string): string =>
  text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll(/^(?=[.'])/gm, "\\&")
    .replaceAll(/[^\n -~]/gu, (letter) => `\\[u${letter.codePointAt(0)?.toString(16).toUpperCase().padStart(4, "0")}]`);

const head = (name: string, about: string): string =>
  `.TH ${JSON.stringify(name.toUpperCase())} 1 "" "tsbox ${engineVersion}" "tsbox"\n.SH NAME\n${escaped(name)} \\- ${escaped(about)}\n`;

const pageOf = (name: string): string => `tsbox-${name.replaceAll(" ", "-")}`;

function commandPage({ name, usage, about, flags, aliases = [], local }: Command): string {
  const options = Object.entries(flags)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([flag, spec]) => `.TP\n\\fB${escaped(flagWords(flag, spec))}\\fR\n${escaped(spec.help)}\n`);
  const others = aliases.map((alias) => `tsbox ${typeof alias === "string" ? alias : alias.path}`);
  return [
    head(pageOf(name), about),
    `.SH SYNOPSIS\n\\fBtsbox ${escaped(usage)}\\fR\n`,
    `.SH DESCRIPTION\n${escaped(about)}\n`,
    ...(local === true ? ["It runs in the user's own process, since it needs files of the user's.\n"] : []),
    ...(others.length > 0 ? [`.SH ALIASES\n${escaped(others.join(", "))}\n`] : []),
    ...(options.length > 0 ? [".SH OPTIONS\n", ...options] : []),
    ".SH SEE ALSO\n\\fBtsbox\\fR(1)\n",
  ].join("");
}

function mainPage(): string {
  const rows = commands.map(({ name, about }) => `.TP\n\\fB${escaped(pageOf(name))}\\fR(1)\n${escaped(about)}\n`);
  return `${head("tsbox", "A container engine with drivers of your choice")}.SH SYNOPSIS\n\\fBtsbox\\fR [OPTIONS] COMMAND\n.SH COMMANDS\n${rows.join("")}`;
}

/** File name → text. */
export function manPages(): ReadonlyMap<string, string> {
  return new Map([["tsbox.1", mainPage()], ...commands.map((command) => [`${pageOf(command.name)}.1`, commandPage(command)] as const)]);
}

if (process.argv[1] === import.meta.filename) {
  const [, , directory] = process.argv;
  if (directory === undefined) throw new Error("give the directory that the pages go to");
  mkdirSync(directory, { recursive: true });
  for (const [name, text] of manPages()) writeFileSync(join(directory, name), text);
}
