/** The list of plugins: the engine's own entries and the operator's. */
import { fail } from "../errors/index.ts";
import type { PluginEntry } from "./config.ts";

/** An operator's entry replaces the engine's entry of the same name, or switches it off. */
export function pluginList(engine: readonly PluginEntry[], operator: readonly PluginEntry[]): readonly PluginEntry[] {
  const entries = new Map<string, PluginEntry>();
  for (const list of [engine, operator]) {
    const seen = new Set<string>();
    for (const entry of list) {
      if (seen.has(entry.name)) throw fail("AlreadyExists", `two plugins are called ${entry.name}: give one of them another "name"`);
      seen.add(entry.name);
      const known = entries.get(entry.name);
      if (known === undefined && entry.package === "")
        throw fail(
          "NotFound",
          `the config file names the plugin ${entry.name} without a "package", and the engine has none of that name; it has ${engine.map(({ name }) => name).join(", ")}`,
        );
      entries.set(entry.name, { ...entry, package: entry.package === "" ? (known?.package ?? "") : entry.package });
    }
  }
  return [...entries.values()].filter(({ enabled }) => enabled !== false);
}
