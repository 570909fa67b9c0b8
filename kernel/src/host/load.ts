/** From the list of plugins to their loaded code: reads the manifests, refuses what does not fit, and imports the rest concurrently. */
import { realpathSync } from "node:fs";
import { join } from "node:path";
import { createCall } from "../call.ts";
import type { Logger } from "../contract/call.ts";
import { contractVersions } from "../contract/versions.ts";
import { checkConfig } from "./check-config.ts";
import { readEngineList } from "./config.ts";
import { directoryNames } from "./data-directory.ts";
import { furtherSetups } from "./further-drivers.ts";
import { bounded, type PluginLimits } from "./guard.ts";
import { guardHandle, type PluginHandle } from "./handle.ts";
import type { HostOptions } from "./host.ts";
import { inDaemon } from "./in-daemon.ts";
import { type LoadedManifest, readManifest } from "./manifest.ts";
import { type Agreement, negotiate } from "./negotiate.ts";
import { pluginList } from "./plugin-list.ts";

export interface LoadedPlugin {
  readonly name: string;
  readonly manifest: LoadedManifest;
  /** With a deadline for each verb. */
  readonly handle: PluginHandle;
  readonly log: Logger;
  /** Its package's directory without links, as it is in stacks of errors. */
  readonly home: string;
  /** The name of its directories below the engine's root and state directory. */
  readonly directory: string;
}

/** Each plugin comes after all plugins that it needs. */
export async function load(
  options: HostOptions,
  limits: PluginLimits,
): Promise<{ readonly agreement: Agreement; readonly plugins: readonly LoadedPlugin[] }> {
  const entries = pluginList(await readEngineList(options.engineList), options.config.plugins);
  const places = [join(options.engineList, ".."), join(options.rootDirectory, "plugins")];
  const listed = await Promise.all(entries.map((entry) => readManifest(entry, places)));
  const manifests = [...listed, ...furtherSetups(options.config, listed)];
  const agreement = negotiate(manifests, contractVersions, ["engine"]);
  checkConfig(options.config, agreement);
  const directories = directoryNames(agreement.order);
  const plugins = await Promise.all(
    agreement.order.map((manifest) => loadOne(manifest, directories.get(manifest) ?? "", options.log, limits)),
  );
  return { agreement, plugins };
}

async function loadOne(manifest: LoadedManifest, directory: string, log: Logger, limits: PluginLimits): Promise<LoadedPlugin> {
  const { name } = manifest.entry;
  const bound = { plugin: name, limit: limits.load, grace: limits.grace };
  const handle = await bounded(createCall(log), `${name} did not answer load`, bound, () => inDaemon(manifest));
  return {
    name,
    manifest,
    handle: guardHandle(handle, name, limits),
    log: named(log, name),
    home: realpathSync(manifest.directory),
    directory,
  };
}

function named(log: Logger, plugin: string): Logger {
  const at =
    (level: keyof Logger): Logger["info"] =>
    (text, fields) =>
      log[level](text, { plugin, ...fields });
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}
