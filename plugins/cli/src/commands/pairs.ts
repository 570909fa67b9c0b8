/** `KEY=VALUE`, repeated; a key alone has an empty value. */
export function pairsOf(list: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    list.map((pair) => {
      const at = pair.indexOf("=");
      return at < 0 ? [pair, ""] : [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

/** An object of the API as `KEY=VALUE,KEY=VALUE`. */
export const pairsText = (pairs: unknown): string =>
  Object.entries((pairs ?? {}) as object)
    .map(([key, value]) => `${key}=${String(value)}`)
    .join(",");
