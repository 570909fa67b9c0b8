/** Loads a plugin's code, after its manifest has been checked. */
import { pathToFileURL } from "node:url";
import type { Plugin } from "../contract/plugin.ts";
import { fail } from "../errors/index.ts";
import type { LoadedManifest } from "./manifest.ts";
import { shareKernel } from "./one-kernel.ts";
import { stamped } from "./stamp.ts";

/** Throws `InvalidArgument` if the default export is not a plugin. An error of the module itself is passed on with the plugin's name. */
export async function importPlugin(manifest: LoadedManifest): Promise<Plugin> {
  const { name } = manifest.entry;
  shareKernel();
  const module: { readonly default?: Plugin } = await import(pathToFileURL(manifest.main).href).catch((thrown: unknown) => {
    throw stamped(thrown, name);
  });
  const plugin = module.default;
  if (typeof plugin?.setup === "function" && typeof plugin.parseConfig === "function") return plugin;
  throw fail("InvalidArgument", `${name} is no tsbox plugin: the default export of ${manifest.main} has no setup and parseConfig`, {
    plugin: name,
  });
}
