/**
 * Finds the driver that `tsbox conformance` is to try, without an engine: in the lists of the engine and the operator, among the drivers
 * that the operator's config adds, or in a package.
 */
import { existsSync } from "node:fs";
import { dirname, extname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { fail, isTsboxError, type Plugin, type Strings } from "@tsbox/kernel";
import {
  type EngineConfig,
  emptyConfig,
  furtherKinds,
  importPlugin,
  type LoadedManifest,
  pluginList,
  readConfig,
  readEngineList,
  readManifest,
} from "@tsbox/kernel/host";

export interface FoundDriver {
  readonly plugin: Plugin;
  /** As the plugin provides it. */
  readonly id: string;
  readonly config: unknown;
  /** The URL of the plugin's module. */
  readonly module: string;
  /** What the package brings for suites (`./conformance` of its exports); null: nothing. */
  readonly suites: Readonly<Record<string, unknown>> | null;
}

export interface Place {
  readonly workingDirectory: string;
  /** `TSBOX_CONFIG` names the operator's config file. */
  readonly environment: Strings;
}

/**
 * `word`: an id in the lists, an id of the package `tsbox-KIND-ID`, or the name or directory of a package with one driver of the kind.
 * `inPackage`: the name or directory of a package that provides the id.
 */
export async function findDriver(kind: string, word: string, inPackage: string | null, place: Place): Promise<FoundDriver> {
  const { workingDirectory } = place;
  const from = [installation(), workingDirectory];
  const manifestOf = (name: string): Promise<LoadedManifest> => {
    const path = name.startsWith(".") || name.startsWith("/") || (name.includes("/") && !name.startsWith("@"));
    const found = path ? resolve(workingDirectory, name) : name;
    return readManifest({ name: found, package: found, config: undefined }, from);
  };
  if (inPackage !== null) return loaded(kind, word, await manifestOf(inPackage));
  if (word.includes("/") || word.startsWith(".")) return onlyOne(kind, await manifestOf(word));
  const operator = await operators(place);
  const listed = pluginList(await readEngineList(join(installation(), "engine.json")), operator.plugins);
  const further = furtherKinds.find((each) => each === kind);
  const added = further === undefined ? undefined : operator[further][word];
  for (const entry of listed) {
    const manifest = await readManifest(entry, from);
    const id = added?.driver ?? word;
    if (Object.hasOwn(manifest.provides, `${kind}/${id}`))
      return { ...(await loaded(kind, id, manifest)), config: added === undefined ? entry.config : added.config };
  }
  return onlyOne(kind, await manifestOf(word.startsWith(`tsbox-${kind}-`) ? word : `tsbox-${kind}-${word}`));
}

/** The driver of a package that has one of the kind. */
function onlyOne(kind: string, manifest: LoadedManifest): Promise<FoundDriver> {
  const [id, ...others] = idsOf(kind, manifest);
  const { name } = manifest.entry;
  if (id === undefined)
    throw fail("NotFound", `${name} provides no ${kind} driver; it provides ${Object.keys(manifest.provides).join(", ")}`);
  if (others.length > 0)
    throw fail(
      "InvalidArgument",
      `${name} provides several ${kind} drivers: run tsbox conformance --package ${name} ${kind} ID with one of ${[id, ...others].join(", ")}`,
    );
  return loaded(kind, id, manifest);
}

async function loaded(kind: string, id: string, manifest: LoadedManifest): Promise<FoundDriver> {
  const { name, config } = manifest.entry;
  if (!idsOf(kind, manifest).includes(id))
    throw fail(
      "NotFound",
      `${name} provides no ${kind} driver ${id}; it provides ${Object.keys(manifest.provides).join(", ") || "nothing"}`,
    );
  const module = pathToFileURL(manifest.main).href;
  return { plugin: await importPlugin(manifest), id, config, module, suites: await suitesOf(manifest) };
}

/** Its file is beside the plugin's module. */
async function suitesOf({ main }: LoadedManifest): Promise<FoundDriver["suites"]> {
  const path = join(dirname(main), `conformance${extname(main)}`);
  return existsSync(path) ? ((await import(pathToFileURL(path).href)) as Readonly<Record<string, unknown>>) : null;
}

const idsOf = (kind: string, { provides }: LoadedManifest): readonly string[] =>
  Object.keys(provides).flatMap((offer) => (offer.startsWith(`${kind}/`) ? offer.slice(kind.length + 1) : []));

/** Without a config file the operator has added nothing. One that is named must be there. */
async function operators({ environment, workingDirectory }: Place): Promise<EngineConfig> {
  const named = environment.TSBOX_CONFIG;
  if (named) return readConfig(resolve(workingDirectory, named));
  try {
    return await readConfig("/etc/tsbox/config.json");
  } catch (error) {
    if (isTsboxError(error) && error.code === "NotFound") return emptyConfig;
    throw error;
  }
}

/** The directory of engine.json: TSBOX_HOME, or a directory above this file. */
function installation(): string {
  if (process.env.TSBOX_HOME !== undefined) return process.env.TSBOX_HOME;
  let directory = import.meta.dirname;
  while (!existsSync(join(directory, "engine.json"))) {
    if (directory === dirname(directory)) throw fail("NotFound", "no engine.json above the command line's own files; set TSBOX_HOME");
    directory = dirname(directory);
  }
  return directory;
}
