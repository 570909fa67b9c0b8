/** Checks the `config` of a plugin's entry in the operator's list, so that no plugin has to repeat it. */
import { fail } from "./errors/index.ts";

/** `parseConfig` of a plugin without settings. Throws `InvalidArgument` for any setting. */
export function noSettings(raw: unknown): null {
  settingsOf(raw, []);
  return null;
}

/** Checks settings that are all optional. Throws `InvalidArgument` if `raw` is not an object, or has a key that is not `known`. */
export function settingsOf(raw: unknown, known: readonly string[]): Readonly<Record<string, unknown>> {
  const settings = raw ?? {};
  if (typeof settings !== "object" || Array.isArray(settings))
    throw fail("InvalidArgument", `the plugin's config must be an object, not ${JSON.stringify(raw)}`);
  const unknown = Object.keys(settings).find((key) => !known.includes(key));
  if (unknown === undefined) return settings as Readonly<Record<string, unknown>>;
  const cure = known.length === 0 ? "the plugin takes no config; remove it" : `known are ${known.join(", ")}`;
  throw fail("InvalidArgument", `unknown key ${JSON.stringify(unknown)} in the plugin's config: ${cure}`);
}
