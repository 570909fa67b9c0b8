/**
 * Expands one word of a Dockerfile instruction: removes quotes and replaces variables. The rules are Docker's (BuildKit's
 * frontend/dockerfile/shell/lex.go), which are a part of the shell's:
 *
 *   $name ${name}                     the value; nothing if unset
 *   ${name:-word} ${name-word}        `word` if unset (with `:` also if empty)
 *   ${name:+word} ${name+word}        `word` if set (with `:` also not empty)
 *   ${name:?word} ${name?word}        an error if unset (with `:` also if empty)
 *   ${name#glob} ## % %%              the value without its shortest (longest) matching prefix or suffix
 *   ${name/glob/word} //              the value with the first match (all matches) replaced
 *   'text'                            unchanged
 *   "text"                            variables are replaced; a backslash escapes one of " $ \
 *   \x                                x
 */
import { fail } from "@tsbox/kernel";

export type Environment = ReadonlyMap<string, string>;

/** `["A=b"]` */
export const environmentOf = (pairs: readonly string[]): Environment =>
  new Map(
    pairs.map((pair) => {
      const cut = pair.indexOf("=");
      return cut < 0 ? [pair, ""] : [pair.slice(0, cut), pair.slice(cut + 1)];
    }),
  );

/** `InvalidArgument`: an unclosed quote or brace, or an unset variable with `?`. */
export function expand(word: string, environment: Environment): string {
  return new Expansion(word, environment).until("");
}

/** The maximum depth of nested `${…}`. */
const deepest = 100;
const special = "@*#?-$!0";

class Expansion {
  readonly #text: string;
  readonly #environment: Environment;
  #at = 0;
  #depth = 0;

  constructor(text: string, environment: Environment) {
    this.#text = text;
    this.#environment = environment;
  }

  get #next(): string {
    return this.#text[this.#at] ?? "";
  }

  #take(): string {
    const letter = this.#next;
    this.#at += 1;
    return letter;
  }

  #wrong(why: string): Error {
    return fail("InvalidArgument", `failed to process "${this.#text}": ${why}`);
  }

  /** Expands up to one of `stops`, which is consumed; without stops, up to the end. */
  until(stops: string): string {
    let found = "";
    while (this.#at < this.#text.length) {
      const letter = this.#take();
      if (stops.includes(letter)) return found;
      if (letter === "'") found += this.#single();
      else if (letter === '"') found += this.#double();
      else if (letter === "$") found += this.#variable();
      else found += letter === "\\" ? this.#take() : letter;
    }
    if (stops !== "") throw this.#wrong(`syntax error: a substitution that is not closed`);
    return found;
  }

  #single(): string {
    const end = this.#text.indexOf("'", this.#at);
    if (end < 0) throw this.#wrong("unexpected end of statement while looking for matching single-quote");
    const found = this.#text.slice(this.#at, end);
    this.#at = end + 1;
    return found;
  }

  #double(): string {
    let found = "";
    while (this.#at < this.#text.length) {
      const letter = this.#take();
      if (letter === '"') return found;
      if (letter === "$") found += this.#variable();
      else if (letter === "\\") found += /["$\\]/.test(this.#next) ? this.#take() : letter;
      else found += letter;
    }
    throw this.#wrong("unexpected end of statement while looking for matching double-quote");
  }

  #variable(): string {
    if (this.#next !== "{") {
      const name = this.#name();
      return name === "" ? "$" : (this.#environment.get(name) ?? "");
    }
    this.#take();
    const name = this.#name();
    if (name === "") throw this.#wrong("syntax error: bad substitution");
    const value = this.#environment.get(name);
    let modifier = this.#take();
    if (modifier === "}") return value ?? "";
    const orEmpty = modifier === ":";
    if (orEmpty) modifier = this.#take();
    this.#depth += 1;
    if (this.#depth > deepest) throw this.#wrong("substitutions are nested too deeply");
    const answer = this.#modified(name, value, modifier, value !== undefined && !(orEmpty && value === ""));
    this.#depth -= 1;
    return answer;
  }

  #modified(name: string, value: string | undefined, modifier: string, isSet: boolean): string {
    if (modifier === "-" || modifier === "+" || modifier === "?") {
      const word = this.until("}");
      if (modifier === "-") return isSet ? (value ?? "") : word;
      if (modifier === "+") return isSet ? word : "";
      if (!isSet) throw this.#wrong(`${name}: ${word || "not allowed to be unset"}`);
      return value ?? "";
    }
    if (modifier === "#" || modifier === "%") {
      const greedy = this.#next === modifier;
      if (greedy) this.#take();
      return without(value ?? "", this.until("}"), modifier, greedy);
    }
    if (modifier === "/") {
      const all = this.#next === "/";
      if (all) this.#take();
      const pattern = this.until("/");
      const word = this.until("}");
      return (value ?? "").replace(new RegExp(globSource(pattern, true), all ? "gs" : "s"), () => word);
    }
    throw this.#wrong(`unsupported modifier (${modifier}) in substitution`);
  }

  #name(): string {
    const rest = this.#text.slice(this.#at);
    const name =
      /^\d+/.exec(rest)?.[0] ?? (special.includes(rest[0] ?? " ") ? (rest[0] ?? "") : (/^[\p{L}\p{Nd}_]+/u.exec(rest)?.[0] ?? ""));
    this.#at += name.length;
    return name;
  }
}

/** The value without the prefix or suffix that a glob matches. */
function without(value: string, glob: string, side: "#" | "%", greedy: boolean): string {
  const whole = new RegExp(`^${globSource(glob, greedy)}$`, "s");
  const lengths = Array.from({ length: value.length + 1 }, (_, length) => length);
  const parts = greedy ? lengths.reverse() : lengths;
  const length = parts.find((one) => whole.test(side === "#" ? value.slice(0, one) : value.slice(value.length - one)));
  if (length === undefined) return value;
  return side === "#" ? value.slice(length) : value.slice(0, value.length - length);
}

/** Only `*` and `?` have a meaning; a backslash escapes them. Runs of `*` become one: several of them would make the match very slow. */
function globSource(glob: string, greedy: boolean): string {
  return glob
    .replace(/\*+/g, "*")
    .replace(/\\(.)|([\s\S])/g, (_, escaped: string | undefined, letter: string | undefined) =>
      escaped === undefined && letter === "*"
        ? greedy
          ? ".*"
          : ".*?"
        : escaped === undefined && letter === "?"
          ? "."
          : (escaped ?? letter ?? "").replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&"),
    );
}
