/** The settings of a plugin, as an operator writes them into `config` of its entry: what no plugin should check by itself. */
import { fail } from "./errors/index.ts";

/** `parseConfig` of a plugin without settings: `InvalidArgument` for anything but nothing. */
export function noSettings(raw: unknown): null {
  settingsOf(raw, []);
  return null;
}

/** Settings that may all be left out. `InvalidArgument`: not an object, or a key that is not `known`. */
export function settingsOf(raw: unknown, known: readonly string[]): Readonly<Record<string, unknown>> {
  const settings = raw ?? {};
  if (typeof settings !== "object" || Array.isArray(settings))
    throw fail("InvalidArgument", `the plugin's config must be an object, not ${JSON.stringify(raw)}`);
  const unknown = Object.keys(settings).find((key) => !known.includes(key));
  if (unknown === undefined) return settings as Readonly<Record<string, unknown>>;
  const cure = known.length === 0 ? "the plugin takes no config; remove it" : `known are ${known.join(", ")}`;
  throw fail("InvalidArgument", `unknown key ${JSON.stringify(unknown)} in the plugin's config: ${cure}`);
}
