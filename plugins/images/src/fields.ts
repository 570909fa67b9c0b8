/**
 * Reads the fields of untrusted JSON objects. A missing or null field is empty; a field of a type other than Docker's is refused, as Docker
 * refuses it.
 */
import { fail, limits, type Strings } from "@tsbox/kernel";

export class Fields {
  readonly #values: { readonly [key: string]: unknown };
  /** The image's name, for error messages. */
  readonly #what: string;
  /** The path of the object itself, with a dot at its end. */
  readonly #path: string;

  constructor(value: unknown, what: string, path = "") {
    this.#what = what;
    this.#path = path;
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw this.#wrong(path.replace(/\.$/, "") || "it", "an object");
    this.#values = value as { readonly [key: string]: unknown };
  }

  has(key: string): boolean {
    return this.#get(key) !== null;
  }

  text(key: string): string {
    const value = this.#get(key);
    if (value !== null && typeof value !== "string") throw this.#wrong(`${this.#path}${key}`, "a string");
    return value ?? "";
  }

  number(key: string): number {
    const value = this.#get(key);
    if (value !== null && typeof value !== "number") throw this.#wrong(`${this.#path}${key}`, "a number");
    return value ?? 0;
  }

  flag(key: string): boolean {
    const value = this.#get(key);
    if (value !== null && typeof value !== "boolean") throw this.#wrong(`${this.#path}${key}`, "true or false");
    return value ?? false;
  }

  list(key: string, most: number = limits.mostEntries): readonly unknown[] {
    const value = this.#get(key);
    if (value !== null && !Array.isArray(value)) throw this.#wrong(`${this.#path}${key}`, "a list");
    const list = (value ?? []) as readonly unknown[];
    if (list.length > most) throw this.#wrong(`${this.#path}${key}`, `a list of at most ${most}`);
    return list;
  }

  texts(key: string): readonly string[] {
    return this.list(key).map((value) => {
      if (value !== null && typeof value !== "string") throw this.#wrong(`${this.#path}${key}`, "a list of strings");
      return value ?? "";
    });
  }

  /** An empty object if the field is missing. */
  object(key: string): Fields {
    return new Fields(this.#get(key) ?? {}, this.#what, `${this.#path}${key}.`);
  }

  objects(key: string): readonly Fields[] {
    return this.list(key).map((value) => new Fields(value ?? {}, this.#what, `${this.#path}${key}[].`));
  }

  /** The keys of a map whose values have no meaning. */
  keys(key: string, most: number = limits.mostEntries): readonly string[] {
    const keys = Object.keys(this.object(key).#values);
    if (keys.length > most) throw this.#wrong(`${this.#path}${key}`, `a map of at most ${most}`);
    return keys;
  }

  map(key: string): Strings {
    const map = this.object(key);
    return Object.fromEntries(this.keys(key).map((name) => [name, map.text(name)]));
  }

  #get(key: string): unknown {
    return Object.hasOwn(this.#values, key) ? (this.#values[key] ?? null) : null;
  }

  #wrong(path: string, wanted: string): Error {
    return fail("DataLoss", `${this.#what} has a manifest or config in which ${path} is not ${wanted}: it is damaged where it comes from`);
  }
}
