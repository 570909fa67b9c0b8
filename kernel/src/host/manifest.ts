/** Finds a plugin's package and reads its manifest, before its code is loaded. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { isAbsolute, join, resolve } from "node:path";
import semver from "semver";
import { asError, fail } from "../errors/index.ts";
import { knownKeys, oneOf, type PluginEntry, positive, record, text, values } from "./config.ts";

/** What a further set-up of a plugin is made from (`further-drivers.ts`). */
export interface FurtherSetup {
  /** The driver's offer in the package's manifest: `exec/oci`. */
  readonly offer: string;
  /** All offers in the package's manifest. */
  readonly offers: readonly string[];
}

export interface LoadedManifest {
  readonly entry: PluginEntry;
  readonly directory: string;
  /** As its own package.json says, however the list names it. */
  readonly packageName: string;
  /** The path of the module to import. */
  readonly main: string;
  readonly version: string;
  readonly kernel: string;
  /** `storage/overlay` or `images` → range. */
  readonly provides: Readonly<Record<string, string>>;
  readonly needs: Readonly<Record<string, string>>;
  /** Contract → exact version. */
  readonly defines: Readonly<Record<string, string>>;
  readonly isolation: "none" | "process";
  /** `storage/overlay` → its rank among the drivers that could be the host's default. */
  readonly rank: Readonly<Record<string, number>>;
  /** Null: the set-up of an entry of the list. */
  readonly further: FurtherSetup | null;
}

/** `from`: files or directories whose node_modules (or those of a parent directory) may hold the package, in order of preference. */
export async function readManifest(entry: PluginEntry, from: readonly string[]): Promise<LoadedManifest> {
  const directory = packageDirectory(entry, from);
  const path = join(directory, "package.json");
  let json: Readonly<Record<string, unknown>>;
  try {
    json = record(JSON.parse(await readFile(path, "utf8")), path);
  } catch (error) {
    throw fail("InvalidArgument", `${entry.package}: can't read its package.json: ${asError(error).message}`, {
      plugin: entry.name,
      path,
      cause: error,
    });
  }
  if (json.tsbox === undefined) {
    throw fail("InvalidArgument", `${entry.package} is no tsbox plugin: its package.json has no "tsbox" manifest`, {
      plugin: entry.name,
      path,
    });
  }
  return {
    entry,
    directory,
    packageName: typeof json.name === "string" && json.name !== "" ? json.name : entry.name,
    main: join(directory, entryPoint(json, directory, path)),
    version: typeof json.version === "string" ? json.version : "0.0.0",
    further: null,
    ...parseManifest(json.tsbox, `${path}: tsbox`),
  };
}

type Manifest = Pick<LoadedManifest, "kernel" | "provides" | "needs" | "defines" | "isolation" | "rank">;

export function parseManifest(raw: unknown, path: string): Manifest {
  const fields = record(raw, path);
  knownKeys(fields, ["kernel", "provides", "needs", "defines", "isolation", "rank"], path);
  const provides = values(fields.provides ?? {}, `${path}.provides`, range);
  const rank = values(fields.rank ?? {}, `${path}.rank`, positive);
  knownKeys(rank, Object.keys(provides), `${path}.rank`);
  return {
    kernel: range(fields.kernel, `${path}.kernel`),
    provides,
    needs: values(fields.needs ?? {}, `${path}.needs`, range),
    defines: values(fields.defines ?? {}, `${path}.defines`, version),
    isolation: oneOf(fields.isolation ?? "none", ["none", "process"], `${path}.isolation`),
    rank,
  };
}

/** Checks the range first: semver's `satisfies` answers false for an invalid one. */
function range(value: unknown, path: string): string {
  const word = text(value, path);
  if (semver.validRange(word) === null)
    throw fail("InvalidArgument", `${path}: ${JSON.stringify(word)} is not a semver range; write one as "^1.0"`);
  return word;
}

function version(value: unknown, path: string): string {
  const word = text(value, path);
  if (semver.valid(word) === null)
    throw fail("InvalidArgument", `${path}: ${JSON.stringify(word)} is not a semver version; write one as "1.0.0"`);
  return word;
}

function packageDirectory(entry: PluginEntry, from: readonly string[]): string {
  const places = isAbsolute(entry.package)
    ? [entry.package]
    : from.flatMap((place) =>
        (createRequire(join(resolve(place), "x")).resolve.paths(entry.package) ?? []).map((folder) => join(folder, entry.package)),
      );
  const found = places.find((place) => existsSync(join(place, "package.json")));
  if (found !== undefined) return found;
  throw fail("NotFound", `plugin ${entry.package} is not installed; run: npm install ${entry.package}`, { plugin: entry.name });
}

/**
 * The "." entry of `exports` under this process's conditions, else `main`. A condition for sources is passed over where the package has
 * none.
 */
function entryPoint(json: Readonly<Record<string, unknown>>, directory: string, path: string): string {
  const exported = json.exports;
  const isThere = (file: string): boolean => existsSync(join(directory, file));
  const target = exported === undefined ? json.main : conditional(isSubpaths(exported) ? exported["."] : exported, isThere);
  if (typeof target === "string") return target;
  throw fail("InvalidArgument", `${path}: neither "exports" nor "main" says what to import`);
}

function isSubpaths(exported: unknown): exported is Readonly<Record<string, unknown>> {
  return typeof exported === "object" && exported !== null && "." in exported;
}

function conditional(target: unknown, isThere: (file: string) => boolean): string | undefined {
  if (typeof target === "string") return target;
  if (typeof target !== "object" || target === null) return undefined;
  for (const [condition, inner] of Object.entries(target)) {
    const found = conditions.has(condition) ? conditional(inner, isThere) : undefined;
    if (found !== undefined && (condition === "default" || isThere(found))) return found;
  }
  return undefined;
}

const conditions: ReadonlySet<string> = new Set(["node", "import", "default", ...ownConditions()]);

function ownConditions(): readonly string[] {
  const options = [...process.execArgv, ...(process.env.NODE_OPTIONS ?? "").split(" ")];
  return options.flatMap((option, index) => {
    if (option === "-C" || option === "--conditions") return options[index + 1] ?? [];
    return option.startsWith("--conditions=") ? option.slice("--conditions=".length) : [];
  });
}
