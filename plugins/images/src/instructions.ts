/**
 * Applies Dockerfile instructions to a config, for `commit --change` and `import --change`. The config is Docker's JSON (OCI's `config`
 * member and Docker's additions); the answer is a new config.
 */
import { fail, signalNumber } from "@tsbox/kernel";
import { environmentOf, expand } from "./expand.ts";

type Config = Readonly<Record<string, unknown>>;
type Apply = (config: Config, rest: string, line: string) => Config;

/** `InvalidArgument`: an unknown instruction, or wrong arguments. */
export function applyInstructions(config: Config, lines: readonly string[]): Config {
  const given = lines
    .flatMap((text) => text.replace(/\\\r?\n/g, "").split(/\r?\n/))
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  const gives = (name: string): boolean => given.some((line) => line.split(/\s/, 1)[0]?.toUpperCase() === name);
  const changed = given.reduce((so, line) => {
    const [, name = "", rest = ""] = /^(\S+)\s*([\s\S]*)$/.exec(line) ?? [];
    const apply = Object.hasOwn(instructions, name.toUpperCase()) ? instructions[name.toUpperCase()] : undefined;
    if (apply === undefined) throw fail("InvalidArgument", `${name.toUpperCase()} is not a valid change command`);
    return apply(so, rest.trim(), line);
  }, config);
  // As in Docker: a new entrypoint clears the command, unless a command is given too.
  const isVoid = gives("ENTRYPOINT") && !gives("CMD") && list(changed, "Entrypoint").length > 0;
  return isVoid ? { ...changed, Cmd: undefined } : changed;
}

const wrong = (line: string, why: string): Error => fail("InvalidArgument", `${line}: ${why}`);

function needed(rest: string, line: string, count = "exactly one argument"): string {
  if (rest === "") throw wrong(line, `${line.split(/\s/, 1)[0]?.toUpperCase()} requires ${count}`);
  return rest;
}

const map = (config: Config, key: string): Config => (config[key] ?? {}) as Config;
const list = (config: Config, key: string): readonly string[] => (config[key] ?? []) as readonly string[];
const set = (config: Config, key: string, names: readonly string[]): Config => ({
  ...config,
  [key]: { ...map(config, key), ...Object.fromEntries(names.map((name) => [name, {}])) },
});

const instructions: Readonly<Record<string, Apply>> = {
  CMD: (config, rest, line) => ({
    ...config,
    Cmd: command(rest, config, line),
    ...(rest.startsWith("[") ? {} : { ArgsEscaped: undefined }),
  }),
  ENTRYPOINT: (config, rest, line) => ({ ...config, Entrypoint: rest === "" ? null : command(rest, config, line) }),
  ENV: (config, rest, line) => {
    const fresh = pairs(config, needed(rest, line, "at least one argument"), line);
    // An existing name keeps its place.
    const all = new Map([...environmentOf(list(config, "Env")), ...fresh]);
    return { ...config, Env: [...all].map(([name, value]) => `${name}=${value}`) };
  },
  EXPOSE: (config, rest, line) =>
    set(
      config,
      "ExposedPorts",
      // As in Docker: a variable's value may be several words.
      words(config, rest, line)
        .flatMap((word) => word.split(/\s+/).filter((part) => part !== ""))
        .flatMap((word) => ports(word, line)),
    ),
  HEALTHCHECK: (config, rest, line) => ({ ...config, Healthcheck: healthcheck(rest, line) }),
  LABEL: (config, rest, line) => ({
    ...config,
    Labels: { ...map(config, "Labels"), ...Object.fromEntries(pairs(config, needed(rest, line, "at least one argument"), line)) },
  }),
  ONBUILD: (config, rest, line) => {
    const trigger = needed(rest, line).split(/\s/, 1)[0]?.toUpperCase() ?? "";
    if (trigger === "ONBUILD") throw wrong(line, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
    if (trigger === "MAINTAINER" || trigger === "FROM") throw wrong(line, `${trigger} isn't allowed as an ONBUILD trigger`);
    return { ...config, OnBuild: [...list(config, "OnBuild"), rest] };
  },
  SHELL: (config, rest, line) => ({
    ...config,
    Shell: jsonList(rest, line) ?? refuse(line, "SHELL requires the arguments to be in JSON form"),
  }),
  STOPSIGNAL: (config, rest, line) => {
    const signal = one(config, rest, line);
    // Refused here, so that no image gets a signal with which its containers can't be created.
    signalNumber(signal);
    return { ...config, StopSignal: signal };
  },
  USER: (config, rest, line) => ({ ...config, User: one(config, rest, line) }),
  VOLUME: (config, rest, line) => {
    const listed = jsonList(rest, line)?.map((word) => expanded(config, word, line));
    const paths = listed ?? words(config, rest, line);
    if (paths.some((path) => path === "")) throw wrong(line, "VOLUME specified can not be an empty string");
    return set(config, "Volumes", paths);
  },
  WORKDIR: (config, rest, line) => {
    const path = one(config, rest, line);
    const before = typeof config.WorkingDir === "string" && config.WorkingDir !== "" ? config.WorkingDir : "/";
    return { ...config, WorkingDir: normal(path.startsWith("/") ? path : `${before}/${path}`) };
  },
};

function refuse(line: string, why: string): never {
  throw wrong(line, why);
}

function normal(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

/** A JSON list of strings; null: anything else, which is text for the shell. */
/** Words in JSON; null: the text is no JSON list, and is taken as it is. */
function jsonList(text: string, line: string): readonly string[] | null {
  if (!text.startsWith("[")) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (!Array.isArray(value)) return null;
  if (value.every((item) => typeof item === "string")) return value;
  throw wrong(line, "when using JSON array syntax, arrays must be comprised of strings only");
}

function command(rest: string, config: Config, line: string): readonly string[] | null {
  const shell = list(config, "Shell");
  return jsonList(rest, line) ?? (rest === "" ? null : [...(shell.length > 0 ? shell : ["/bin/sh", "-c"]), rest]);
}

/** As in Docker: an error in a word is reported with its line. */
function expanded(config: Config, word: string, line: string): string {
  try {
    return expand(word, environmentOf(list(config, "Env")));
  } catch (error) {
    throw wrong(line, error instanceof Error ? error.message : String(error));
  }
}

/** The rest of the line as one word, with its blanks. */
const one = (config: Config, rest: string, line: string): string => expanded(config, needed(rest, line), line);

function words(config: Config, rest: string, line: string): readonly string[] {
  return raw(needed(rest, line, "at least one argument"), line).map((word) => expanded(config, word, line));
}

/** Splits at blanks, without expanding the words. Quotes protect blanks, a backslash protects the next character. */

function raw(text: string, line: string): readonly string[] {
  const found: string[] = [];
  let word = "";
  let quote = "";
  for (let at = 0; at < text.length; at += 1) {
    const letter = text[at] ?? "";
    if (letter === "\\" && quote !== "'") {
      word += letter + (text[at + 1] ?? "");
      at += 1;
    } else if (quote !== "") {
      word += letter;
      if (letter === quote) quote = "";
    } else if (/\s/.test(letter)) {
      if (word !== "") found.push(word);
      word = "";
    } else {
      word += letter;
      if (letter === '"' || letter === "'") quote = letter;
    }
  }
  if (quote !== "") throw wrong(line, "a quote that is not closed");
  return word === "" ? found : [...found, word];
}

/** `a=b c="d e"`, or the old form of one pair: `a b`. */
function pairs(config: Config, rest: string, line: string): readonly (readonly [string, string])[] {
  const found = raw(rest, line);
  if (!(found[0] ?? "").includes("=")) {
    const [, name = "", value] = /^(\S+)\s+([\s\S]+)$/.exec(rest) ?? [];
    if (value === undefined) throw wrong(line, `${line.split(/\s/, 1)[0]?.toUpperCase()} must have two arguments`);
    return [[expanded(config, name, line), expanded(config, value, line)]];
  }
  return found.map((word) => {
    const cut = word.indexOf("=");
    const name = cut < 0 ? "" : expanded(config, word.slice(0, cut), line);
    if (cut < 0) throw wrong(line, `Syntax error - can't find = in "${word}". Must be of the form: name=value`);
    if (name === "") throw wrong(line, `${line.split(/\s/, 1)[0]?.toUpperCase()} names can not be blank`);
    return [name, expanded(config, word.slice(cut + 1), line)];
  });
}

/** `80`, `80/udp`, `8000-8002`; a host port before it is ignored. */
function ports(word: string, line: string): readonly string[] {
  const [, first, last, protocol = "tcp"] = /^(?:[^/]*:)?(\d+)(?:-(\d+))?(?:\/(tcp|udp|sctp))?$/i.exec(word) ?? [];
  const [from, to] = [Number(first), Number(last ?? first)];
  if (first === undefined || from > to || to > 65535) throw wrong(line, `invalid containerPort: ${word}`);
  return Array.from({ length: to - from + 1 }, (_, at) => `${from + at}/${protocol.toLowerCase()}`);
}

const durations: Readonly<Record<string, string>> = {
  interval: "Interval",
  timeout: "Timeout",
  "start-period": "StartPeriod",
  "start-interval": "StartInterval",
};

function healthcheck(rest: string, line: string): Config {
  let text = rest;
  const options: Record<string, unknown> = {};
  for (let found = /^--([a-z-]+)=(\S+)\s*/.exec(text); found !== null; found = /^--([a-z-]+)=(\S+)\s*/.exec(text)) {
    const [whole, name = "", value = ""] = found;
    const key = durations[name];
    if (key !== undefined) options[key] = span(name, value, line);
    else if (name === "retries" && /^\d+$/.test(value)) options.Retries = Number(value);
    else throw wrong(line, `unknown flag: --${name}`);
    text = text.slice(whole.length);
  }
  const [, kind = "", words = ""] = /^(\S+)\s*([\s\S]*)$/.exec(text) ?? [];
  if (kind.toUpperCase() === "NONE" && words === "") return { Test: ["NONE"] };
  if (kind.toUpperCase() !== "CMD" || words === "") throw wrong(line, "HEALTHCHECK takes NONE, or options and CMD with a command");
  const json = jsonList(words, line);
  if (json?.length === 0) throw wrong(line, "the command after HEALTHCHECK CMD is missing");
  return { Test: json === null ? ["CMD-SHELL", words] : ["CMD", ...json], ...options };
}

/** A millisecond, and Go's longest duration, in nanoseconds. */
const [shortest, longest] = [1e6, 2 ** 63];
const units: Readonly<Record<string, number>> = { ns: 1, us: 1e3, µs: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };

function nanoseconds(text: string, line: string): number {
  if (text === "0") return 0;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)];
  const total = parts.reduce((sum, [, count = "0", unit = "s"]) => sum + Math.round(Number(count) * (units[unit] ?? 0)), 0);
  if (parts.length === 0 || parts.map(([whole]) => whole).join("") !== text || total >= longest)
    throw wrong(line, `time: invalid duration "${text}"`);
  return total;
}

/** Refused here, so that no image has a health check with which its containers can't be created. */
function span(name: string, value: string, line: string): number {
  const total = nanoseconds(value, line);
  if (total !== 0 && total < shortest) throw wrong(line, `--${name} cannot be less than 1ms; 0 stands for the default`);
  return total;
}
