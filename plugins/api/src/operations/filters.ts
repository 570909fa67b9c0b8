/** Docker's `filters` parameter: key to values; several values of a key are alternatives, several keys must all hold. */
import { type Filters, fail, fits } from "@tsbox/kernel";

export type Match<T> = (subject: T, value: string) => boolean;

export function matches<T>(filters: Filters | undefined, rules: Readonly<Record<string, Match<T>>>): (subject: T) => boolean {
  const entries = Object.entries(filters ?? {});
  for (const [key] of entries) if (!Object.hasOwn(rules, key)) throw fail("InvalidArgument", `invalid filter '${key}'`);
  return (subject) =>
    entries.every(([key, values]) => {
      const rule = rules[key];
      if (rule === undefined) return false;
      // All label filters must match; of every other filter, one value is enough.
      return key === "label" || key === "label!"
        ? values.every((value) => rule(subject, value))
        : values.some((value) => rule(subject, value));
    });
}

export function hasLabel(labels: Readonly<Record<string, string>>, wanted: string): boolean {
  const [key = "", value] = wanted.split(/=(.*)/s, 2);
  return Object.hasOwn(labels, key) && (value === undefined || labels[key] === value);
}

/** As in Docker, the pattern is a part of the name, or a regular expression. */
export function namesMatch(name: string, pattern: string): boolean {
  let expression: RegExp;
  try {
    expression = new RegExp(pattern.replace(/^\^\//, "^"));
  } catch {
    throw fail("InvalidArgument", `invalid filter 'name=${pattern}': not a regular expression`);
  }
  return name.includes(pattern) || fits(expression, name);
}

/** The value of a filter that says yes or no. */
export function truth(key: string, value: string): boolean {
  if (["true", "1", "t", "T", "True", "TRUE"].includes(value)) return true;
  if (["false", "0", "f", "F", "False", "FALSE"].includes(value)) return false;
  throw fail("InvalidArgument", `invalid filter '${key}=[${value}]': give true or false`);
}
