/** The words that completion needs, from the commands themselves: their flags, and the kind of each argument from their usage. */
import type { Command } from "../io.ts";

/** The kind of an argument. Names come from the engine; `none`: no completions. */
export type Kind = "container" | "image" | "volume" | "network" | "object" | "file" | "none" | readonly string[];

export interface CommandWords {
  /** `run`, `volume ls`, `container stop`. */
  readonly path: string;
  readonly about: string;
  readonly flags: readonly FlagWords[];
  /** By position; with `more` the last one applies to all further arguments. */
  readonly words: readonly Kind[];
  readonly more: boolean;
}
export interface FlagWords {
  /** `--name`, and `-n` or null. */
  readonly long: string;
  readonly short: string | null;
  readonly help: string;
  /** Null: the flag takes no value. */
  readonly value: Kind | null;
}
/** Group → verb → the command's name. */
export type Groups = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** All ways to write each command: by itself, and in its group. */
export function commandWords(all: readonly Command[], groups: Groups): readonly CommandWords[] {
  const byName = new Map(all.map((command) => [command.name, command]));
  const grouped = Object.entries(groups).flatMap(([group, verbs]) =>
    Object.entries(verbs).flatMap(([verb, name]) => {
      const command = byName.get(name);
      return command === undefined ? [] : [describe(`${group} ${verb}`, command)];
    }),
  );
  const paths = new Set(grouped.map(({ path }) => path));
  return [...all.filter(({ name }) => !paths.has(name)).map((command) => describe(command.name, command)), ...grouped];
}

function describe(path: string, { name, about, flags, usage }: Command): CommandWords {
  const tokens = usage
    .slice(name.length)
    .split(" ")
    .filter((token) => token !== "" && token !== "[OPTIONS]");
  // A new object has no name to complete.
  const words = tokens.map((token) => (name.endsWith(" create") ? "none" : kindOf(token)));
  return {
    path,
    about,
    flags: [
      ...Object.entries(flags).map(([long, spec]) => ({
        long: `--${long}`,
        short: spec.short === undefined ? null : `-${spec.short}`,
        help: spec.help,
        value: spec.kind === "bool" ? null : (values[long] ?? "none"),
      })),
      { long: "--help", short: null, help: "Print usage", value: null },
    ],
    words,
    more: tokens.at(-1)?.includes("...") ?? false,
  };
}

function kindOf(token: string): Kind {
  const word = token.replace(/[[\].]/g, "");
  if (word.startsWith("CONTAINER:") || word.includes("PATH")) return "object";
  if (word.startsWith("CONTAINER")) return "container";
  if (/^(SOURCE_)?IMAGE/.test(word)) return "image";
  if (word === "VOLUME" || word === "NETWORK") return word.toLowerCase() as Kind;
  if (word === "NAME|ID") return "object";
  if (/^[a-z]+(\|[a-z]+)+$/.test(word)) return word.split("|");
  return /^(FILE|ARG|COMMAND)/i.test(word) ? "file" : "none";
}

const signals = ["HUP", "INT", "KILL", "QUIT", "STOP", "TERM", "USR1", "USR2"];
const values: Readonly<Record<string, Kind>> = {
  net: "network",
  network: "network",
  "volumes-from": "container",
  volume: "volume",
  restart: ["always", "no", "on-failure", "unless-stopped"],
  "on-unhealthy": ["kill", "none", "restart", "stop"],
  pull: ["always", "missing", "never"],
  "log-driver": ["fluentd", "journald", "json-file", "local", "none", "syslog"],
  signal: signals,
  "stop-signal": signals,
  type: ["container", "image", "network", "volume"],
  format: ["json", "table"],
  attach: ["stderr", "stdin", "stdout"],
  ipc: ["host", "none", "private", "shareable"],
  pid: ["host"],
  uts: ["host"],
  cgroupns: ["host", "private"],
  cidfile: "file",
  "env-file": "file",
  "label-file": "file",
  input: "file",
  output: "file",
  directory: "file",
};
