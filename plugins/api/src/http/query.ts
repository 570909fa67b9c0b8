/** Parses query strings as Docker's clients write them. */
import { type Filters, fail, parseJson } from "@tsbox/kernel";

export type Query = Readonly<Record<string, string | readonly string[] | undefined>>;

/** The parameter's last value; "" if it is missing. */
export function text(query: Query, key: string): string {
  const value = query[key];
  return (Array.isArray(value) ? value.at(-1) : (value as string | undefined)) ?? "";
}

/** All values of the parameter. */
export function texts(query: Query, key: string): readonly string[] {
  const value = query[key];
  return (Array.isArray(value) ? value : value === undefined ? [] : [value as string]).filter((one) => one !== "");
}

/** As in Docker, any value but these is true. */
export function flag(query: Query, key: string): boolean {
  return !["", "0", "no", "false", "none"].includes(text(query, key).trim().toLowerCase());
}

/** Undefined: the parameter is missing. */
export function number(query: Query, key: string): number | undefined {
  const value = text(query, key);
  if (value === "") return undefined;
  if (/^-?\d{1,15}$/.test(value)) return Number(value);
  throw fail("InvalidArgument", `invalid value ${JSON.stringify(value)} for ${key}: give a whole number`);
}

/** `{"label": {"a=b": true}}`, or `{"label": ["a=b"]}` from old clients. */
export function filters(query: Query): Filters {
  const value = text(query, "filters");
  if (value === "") return {};
  const wrong = (): Error => fail("InvalidArgument", "invalid filters: give a JSON object of objects or lists");
  let parsed: unknown;
  try {
    parsed = parseJson(value);
  } catch {
    throw wrong();
  }
  if (parsed === null) return {};
  if (typeof parsed !== "object" || Array.isArray(parsed)) throw wrong();
  return Object.fromEntries(
    Object.entries(parsed).map(([key, values]) => {
      if (Array.isArray(values)) return [key, values.map(String)];
      if (typeof values !== "object" || values === null) throw wrong();
      return [key, Object.keys(values).filter((one) => (values as Readonly<Record<string, unknown>>)[one] !== false)];
    }),
  );
}
