/**
 * `--format`: the part of Go's templates that docker's users write: fields (`{{.State.Pid}}`, `{{.ID}}`), `json`, `join`, `index`, `len`,
 * `upper`, `lower`, `println`, `range`, `if`/`else`, variables of a range, comparison, pipes. `table` before a template prints headings.
 */
import { plain } from "@tsbox/kernel";
import { CommandError } from "./command-error.ts";

type Node =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "value"; readonly pipe: Pipe }
  | {
      readonly kind: "range";
      readonly names: readonly string[];
      readonly over: Pipe;
      readonly body: readonly Node[];
      readonly other: readonly Node[];
    }
  | { readonly kind: "if" | "with"; readonly test: Pipe; readonly body: readonly Node[]; readonly other: readonly Node[] };
/** Each command's result is the last argument of the next. */
type Pipe = readonly (readonly string[])[];
interface Scope {
  readonly dot: unknown;
  readonly variables: Readonly<Record<string, unknown>>;
}

export function compileTemplate(source: string): (subject: unknown) => string {
  const tokens = source.split(/(\{\{-?[\s\S]*?-?\}\})/).filter((token) => token !== "");
  const nodes = parseNodes(trimmed(tokens), []);
  return (subject) => render(nodes, { dot: subject, variables: { $: subject } });
}

const broken = (why: string): CommandError => new CommandError(125, `template parsing error: ${why}`);

/** `{{-` and `-}}` remove the white space beside them. */
function trimmed(tokens: readonly string[]): string[] {
  const list = tokens.map((token, at) => {
    if (token.startsWith("{{")) return token;
    const after = tokens[at - 1]?.endsWith("-}}") ? token.trimStart() : token;
    return tokens[at + 1]?.startsWith("{{-") ? after.trimEnd() : after;
  });
  return list.map((token) =>
    token.startsWith("{{")
      ? `{{${token
          .replace(/^\{\{-?/, "")
          .replace(/-?\}\}$/, "")
          .trim()}}}`
      : token.replaceAll("\\n", "\n").replaceAll("\\t", "\t"),
  );
}

function parseNodes(tokens: string[], until: readonly string[]): Node[] {
  const nodes: Node[] = [];
  while (tokens.length > 0) {
    const token = tokens[0] ?? "";
    if (!token.startsWith("{{")) {
      tokens.shift();
      nodes.push({ kind: "text", text: token });
      continue;
    }
    const action = token.slice(2, -2).trim();
    const word = action.split(/\s/, 1)[0] ?? "";
    if (until.includes(word)) return nodes;
    tokens.shift();
    if (word === "range" || word === "if" || word === "with") nodes.push(parseBlock(word, action.slice(word.length).trim(), tokens));
    else if (word === "end" || word === "else") throw broken(`unexpected {{${word}}}`);
    else if (!action.startsWith("/*")) nodes.push({ kind: "value", pipe: parsePipe(action) });
  }
  if (until.length > 0) throw broken("unexpected EOF: {{end}} is missing");
  return nodes;
}

function parseBlock(word: "range" | "if" | "with", action: string, tokens: string[]): Node {
  const body = parseNodes(tokens, ["else", "end"]);
  const closing = (tokens.shift() ?? "").slice(2, -2).trim();
  let other: Node[] = [];
  if (closing.startsWith("else if")) other = [parseBlock("if", closing.slice("else if".length).trim(), tokens)];
  else if (closing === "else") {
    other = parseNodes(tokens, ["end"]);
    tokens.shift();
  }
  if (word !== "range") return { kind: word, test: parsePipe(action), body, other };
  const named = /^((?:\$\w+\s*,\s*)?\$\w+)\s*:=\s*(.*)$/s.exec(action);
  return {
    kind: "range",
    names: (named?.[1] ?? "")
      .split(",")
      .map((name) => name.trim())
      .filter(Boolean),
    over: parsePipe(named?.[2] ?? action),
    body,
    other,
  };
}

function parsePipe(text: string): Pipe {
  const commands: string[][] = [[]];
  for (const word of wordsOf(text)) {
    if (word === "|") commands.push([]);
    else commands.at(-1)?.push(word);
  }
  if (commands.some((command) => command.length === 0)) throw broken(`missing value for command in {{${text}}}`);
  return commands;
}

/** Splits a pipe into words, strings, parentheses with the fields after them, and bars. */
function wordsOf(text: string): readonly string[] {
  const words: string[] = [];
  let at = 0;
  while (at < text.length) {
    const from = at;
    const letter = text[at] ?? "";
    if (/\s/.test(letter)) at += 1;
    else if (letter === "|") words.push(text[at++] ?? "");
    else {
      let depth = 0;
      for (; at < text.length; at += 1) {
        const next = text[at] ?? "";
        if (next === '"' || next === "`") at = closing(text, at);
        else if (next === "(") depth += 1;
        else if (next === ")") depth -= 1;
        else if (depth === 0 && /[\s|]/.test(next)) break;
      }
      if (depth !== 0) throw broken(`unclosed parenthesis in {{${text}}}`);
      words.push(text.slice(from, at));
    }
  }
  return words;
}

function closing(text: string, from: number): number {
  const quote = text[from];
  for (let at = from + 1; at < text.length; at += 1) {
    if (text[at] === "\\" && quote === '"') at += 1;
    else if (text[at] === quote) return at;
  }
  throw broken(`unterminated quoted string in {{${text}}}`);
}

function render(nodes: readonly Node[], scope: Scope): string {
  return nodes.map((node) => renderNode(node, scope)).join("");
}

function renderNode(node: Node, scope: Scope): string {
  switch (node.kind) {
    case "text":
      return node.text;
    case "value":
      return show(evaluate(node.pipe, scope));
    case "range": {
      const subject = evaluate(node.over, scope);
      const entries: (readonly [unknown, unknown])[] = Array.isArray(subject)
        ? [...subject.entries()]
        : Object.entries((subject instanceof Omitted ? {} : (subject ?? {})) as object).sort(([a], [b]) => (a < b ? -1 : 1));
      if (entries.length === 0) return render(node.other, scope);
      return entries
        .map(([key, value]) => {
          const [first, second] = node.names;
          const named =
            second !== undefined && first !== undefined ? { [first]: key, [second]: value } : first !== undefined ? { [first]: value } : {};
          return render(node.body, { dot: value, variables: { ...scope.variables, ...named } });
        })
        .join("");
    }
    default: {
      const subject = evaluate(node.test, scope);
      if (!truthy(subject)) return render(node.other, scope);
      return render(node.body, node.kind === "with" ? { ...scope, dot: subject } : scope);
    }
  }
}

const truthy = (value: unknown): boolean => {
  if (value instanceof Omitted) return false;
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === "object" && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
};

/** Go's format: maps as map[k:v], lists in brackets, nil as <no value>. */
function show(value: unknown): string {
  if (value === undefined || value === null) return "<no value>";
  if (value instanceof Omitted) return value.text;
  if (Array.isArray(value)) return `[${value.map(show).join(" ")}]`;
  if (typeof value === "object")
    return `map[${Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => `${key}:${show(item)}`)
      .join(" ")}]`;
  return plain(String(value));
}

function evaluate(pipe: Pipe, scope: Scope): unknown {
  let last: readonly unknown[] = [];
  for (const command of pipe) last = [runCommand(command, last, scope)];
  return last[0];
}

function runCommand(words: readonly string[], piped: readonly unknown[], scope: Scope): unknown {
  const [name = "", ...rest] = words;
  const verb = functions[name];
  if (verb) return verb([...rest.map((word) => argument(word, scope)), ...piped]);
  const value = argument(name, scope);
  // A field that is a method: `{{.Label "owner"}}`.
  if (typeof value === "function") return value(...rest.map((word) => argument(word, scope)), ...piped);
  if (rest.length > 0) throw broken(name.startsWith(".") ? `${name} is not a method but has arguments` : `function "${name}" not defined`);
  return value;
}

function argument(word: string, scope: Scope): unknown {
  if (word.startsWith('"')) return JSON.parse(word);
  if (word.startsWith("`")) return word.slice(1, -1);
  if (word.startsWith("(")) {
    const end = word.lastIndexOf(")");
    return path(evaluate(parsePipe(word.slice(1, end)), scope), word.slice(end + 1));
  }
  if (/^-?\d+(\.\d+)?$/.test(word)) return Number(word);
  if (word === "true" || word === "false") return word === "true";
  if (word === "nil") return null;
  if (word.startsWith("$")) {
    const [name = "", ...fields] = word.split(".");
    return path(scope.variables[name], fields.length > 0 ? `.${fields.join(".")}` : "");
  }
  if (word.startsWith(".")) return path(scope.dot, word);
  throw broken(`function "${word}" not defined`);
}

/** Fields that are maps, not records: a missing key has no value, and is not an error. */
const maps: ReadonlySet<string> = new Set([
  "Labels",
  "Attributes",
  "Options",
  "Annotations",
  "Networks",
  "Ports",
  "PortBindings",
  "Sysctls",
  "Tmpfs",
  "Volumes",
]);

/** A value that Go has in a record and leaves out of its JSON: false, shown as `text`. */
class Omitted {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }

  toJSON(): null {
    return null;
  }
}

/**
 * The fields of containers and images that the JSON of `inspect` leaves out where they are empty. Docker's client fills its records with
 * them, so that `{{if .State.Health}}` works for a container without a health check.
 */
const omitted: Readonly<Record<string, unknown>> = {
  ArgsEscaped: false,
  ExposedPorts: new Omitted("map[]"),
  Health: new Omitted("<nil>"),
  Healthcheck: new Omitted("<nil>"),
  Init: new Omitted("<nil>"),
  MacAddress: "",
  NetworkDisabled: false,
  Shell: new Omitted("[]"),
  SizeRootFs: new Omitted("<nil>"),
  SizeRw: new Omitted("<nil>"),
  StopSignal: "",
  StopTimeout: new Omitted("<nil>"),
};

function path(from: unknown, fields: string): unknown {
  let value = from;
  let last = "";
  for (const field of fields.split(".").filter(Boolean)) {
    if (value instanceof Omitted) throw unknownField(last);
    if (typeof value !== "object" || value === null) return undefined;
    const subject = value as Readonly<Record<string, unknown>>;
    const own = Object.hasOwn(subject, field) ? field : Object.keys(subject).find((key) => key.toLowerCase() === field.toLowerCase());
    if (own === undefined && maps.has(last)) return undefined;
    last = field;
    if (own === undefined && !Object.hasOwn(omitted, field)) throw unknownField(field);
    value = own === undefined ? omitted[field] : subject[own];
  }
  return value;
}

const unknownField = (field: string): CommandError => new CommandError(1, `template: :1: can't evaluate field ${field}`);

const compare =
  (test: (a: string | number, b: string | number) => boolean) =>
  ([a, b]: readonly unknown[]): boolean =>
    test(a as number, b as number);

const functions: Readonly<Record<string, (args: readonly unknown[]) => unknown>> = {
  json: ([value]) => JSON.stringify(value),
  join: ([list, separator]) => (list as readonly unknown[]).join(String(separator)),
  split: ([value, separator]) => String(value).split(String(separator)),
  index: ([from, ...keys]) => keys.reduce((value, key) => (value as Readonly<Record<string, unknown>> | undefined)?.[String(key)], from),
  len: ([value]) => {
    if (typeof value === "string" || Array.isArray(value)) return value.length;
    return value instanceof Omitted ? 0 : Object.keys((value ?? {}) as object).length;
  },
  upper: ([value]) => String(value).toUpperCase(),
  lower: ([value]) => String(value).toLowerCase(),
  title: ([value]) => String(value).replace(/\b\w/g, (letter) => letter.toUpperCase()),
  println: (args) => `${args.map(show).join(" ")}\n`,
  print: (args) => args.map(show).join(""),
  printf: ([format, ...args]) => {
    let at = 0;
    return String(format).replace(/%[-+ 0-9.]*[a-zA-Z%]/g, (verb) => (verb === "%%" ? "%" : show(args[at++])));
  },
  truncate: ([value, length]) => String(value).slice(0, Number(length)),
  pad: ([value, before, after]) => `${" ".repeat(Number(before))}${String(value)}${" ".repeat(Number(after))}`,
  eq: ([first, ...others]) => others.some((other) => other === first),
  ne: ([a, b]) => a !== b,
  lt: compare((a, b) => a < b),
  le: compare((a, b) => a <= b),
  gt: compare((a, b) => a > b),
  ge: compare((a, b) => a >= b),
  not: ([value]) => !truthy(value),
  and: (args) => args.find((value) => !truthy(value)) ?? args.at(-1),
  or: (args) => args.find(truthy) ?? args.at(-1),
};
