/**
 * Docker's flags: `-it`, `-e K=V`, `--name x`, `--name=x`, `--rm=false`. A command's arguments begin at the first word that is not a flag.
 */
import { UsageError } from "./command-error.ts";

export interface FlagSpec {
  readonly short?: string;
  /** bool: may stand alone · text: the last one counts · list: all count */
  readonly kind: "bool" | "text" | "list";
  readonly help: string;
  /** The placeholder for the value in the help. */
  readonly value?: string;
}
export type FlagSpecs = Readonly<Record<string, FlagSpec>>;

export interface Parsed {
  readonly words: readonly string[];
  bool(name: string): boolean;
  /** Null: the flag is not given. */
  text(name: string): string | null;
  list(name: string): readonly string[];
  given(name: string): boolean;
}

/**
 * `command`: its name, for error messages. `interspersed`: flags may follow arguments (`rm x -f`); not for `run`, whose further arguments
 * are the container's.
 */
export function parseFlags(command: string, argv: readonly string[], specs: FlagSpecs, interspersed: boolean): Parsed {
  const wrong = (text: string): UsageError => new UsageError(125, text, command);
  const byShort = new Map(Object.entries(specs).flatMap(([name, spec]) => (spec.short ? [[spec.short, name] as const] : [])));
  const found = new Map<string, string[]>();
  const words: string[] = [];
  const keep = (name: string, value: string, shown: string): void => {
    const spec = specs[name];
    if (spec?.kind === "bool" && !/^(true|false|1|0|t|f)$/i.test(value))
      throw wrong(`invalid argument "${value}" for "${shown}" flag: not true or false`);
    found.set(name, spec?.kind === "list" ? [...(found.get(name) ?? []), value] : [value]);
  };
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at] ?? "";
    if (word === "--") {
      words.push(...argv.slice(at + 1));
      break;
    }
    if (!word.startsWith("-") || word === "-") {
      if (!interspersed) {
        words.push(...argv.slice(at));
        break;
      }
      words.push(word);
    } else if (word.startsWith("--")) {
      const [name = "", value] = word.slice(2).split(/=(.*)/s, 2);
      const spec = Object.hasOwn(specs, name) ? specs[name] : undefined;
      if (spec === undefined) throw wrong(`unknown flag: --${name}`);
      if (value !== undefined) keep(name, value, `--${name}`);
      else if (spec.kind === "bool") keep(name, "true", `--${name}`);
      else {
        at += 1;
        const next = argv[at];
        if (next === undefined) throw wrong(`flag needs an argument: --${name}`);
        keep(name, next, `--${name}`);
      }
    } else {
      for (let letter = 1; letter < word.length; letter += 1) {
        const short = word[letter] ?? "";
        const name = byShort.get(short);
        if (name === undefined) throw wrong(`unknown shorthand flag: '${short}' in ${word}`);
        if (specs[name]?.kind === "bool") {
          const value = word[letter + 1] === "=" ? word.slice(letter + 2) : null;
          keep(name, value ?? "true", `-${short}`);
          if (value !== null) break;
          continue;
        }
        const rest = word.slice(letter + 1).replace(/^=/, "");
        if (rest === "") at += 1;
        const value = rest === "" ? argv[at] : rest;
        if (value === undefined) throw wrong(`flag needs an argument: '${short}' in ${word}`);
        keep(name, value, `-${short}`);
        break;
      }
    }
  }
  return {
    words,
    bool: (name) => /^(true|1|t)$/i.test(found.get(name)?.[0] ?? "false"),
    text: (name) => found.get(name)?.at(-1) ?? null,
    list: (name) => found.get(name) ?? [],
    given: (name) => found.has(name),
  };
}

/** Whether `--help` is among a command's flags; `-h` means the same if the command has no such flag. */
export function asksForHelp(argv: readonly string[], specs: FlagSpecs, interspersed: boolean): boolean {
  const shorts = new Map(Object.values(specs).map(({ short, kind }) => [short, kind]));
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at] ?? "";
    if (word === "--") return false;
    if (!word.startsWith("-") || word === "-") {
      if (!interspersed) return false;
    } else if (word === "--help" || (word === "-h" && !shorts.has("h"))) return true;
    else if (word.startsWith("--")) {
      const name = word.slice(2);
      if (Object.hasOwn(specs, name) && specs[name]?.kind !== "bool") at += 1;
    } else {
      const valued = [...word].findIndex((letter, index) => index > 0 && shorts.has(letter) && shorts.get(letter) !== "bool");
      if (valued === word.length - 1) at += 1;
    }
  }
  return false;
}
