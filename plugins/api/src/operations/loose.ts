/** Reads Docker's JSON from untrusted clients: a field of the wrong type counts as missing. */
export type Loose = { readonly [key: string]: unknown };

export const text = (from: Loose, key: string): string => (typeof from[key] === "string" ? from[key] : "");
export const flag = (from: Loose, key: string): boolean => from[key] === true;
export const object = (from: Loose, key: string): Loose =>
  typeof from[key] === "object" && from[key] !== null ? (from[key] as Loose) : {};
export const list = (from: Loose, key: string): readonly Loose[] =>
  Array.isArray(from[key]) ? from[key].filter((one): one is Loose => typeof one === "object" && one !== null) : [];
/** Docker accepts a plain string for a list. */
export const strings = (from: Loose, key: string): readonly string[] | null => {
  const value = from[key];
  if (value === undefined || value === null || value === "") return null;
  return Array.isArray(value) ? value.map(String) : [String(value)];
};
/** Numbers; 0 means "not set". */
export const amount = (from: Loose, key: string): number | null => (typeof from[key] === "number" && from[key] !== 0 ? from[key] : null);
/** Only strings among the values. */
export const words = (from: Loose, key: string): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(object(from, key)).filter((pair): pair is [string, string] => typeof pair[1] === "string"));
