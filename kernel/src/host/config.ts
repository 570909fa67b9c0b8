/**
 * The operator's config file (`/etc/tsbox/config.json` or `--config`). Every key is optional. An unknown key or a value of the wrong type
 * is `InvalidArgument` with the key's path, in one line.
 */
import { readFile } from "node:fs/promises";
import { isAbsolute } from "node:path";
import { asError, fail } from "../errors/index.ts";
import { nameHere } from "./other-names.ts";

export interface EngineConfig {
  /** The root directory, for durable data. Default: `/var/lib/tsbox`; `--root` and `TSBOX_ROOT` come first. */
  readonly root: string | null;
  /** The state directory, for data that a boot forgets. Default: `/run/tsbox`; `--state` and `TSBOX_STATE` come first. */
  readonly state: string | null;
  /** Where the API listens: the first `unix://` of them. Default: `unix:///run/tsbox/tsbox.sock`; `--host` and `TSBOX_HOST` come first. */
  readonly hosts: readonly string[];
  /** What the daemon logs. Default: `info`. */
  readonly logLevel: "debug" | "info" | "warn" | "error";
  /** The id of the driver by its kind: `{"storage": "overlay"}`. Default: the first that works here, as found at the first start. */
  readonly drivers: Readonly<Record<string, string>>;
  /** More storage drivers, by id: each is an installed driver with settings of its own. */
  readonly storage: FurtherDrivers;
  /** More exec drivers: `{"gvisor": {"driver": "oci", "path": "runsc"}}`. */
  readonly exec: FurtherDrivers;
  /** More network drivers. */
  readonly network: FurtherDrivers;
  /** More registry drivers; the id is the scheme of their references. */
  readonly registry: FurtherDrivers;
  /** More volume drivers. */
  readonly volume: FurtherDrivers;
  /** More log drivers. */
  readonly log: FurtherDrivers;
  /** Plugins beside the engine's own; one with the same name replaces the engine's. */
  readonly plugins: readonly PluginEntry[];
  /** Whether a plugin has a process of its own, by the entry's name; it overrides the plugin's manifest. Only `none` is there yet. */
  readonly isolation: Readonly<Record<string, "none" | "process">>;
  /** Seconds that one call of a driver may take, by kind, and one tap of a hook: `{"storage": 60, "hook": 10}`. */
  readonly deadlines: Readonly<Record<string, number>>;
}
export interface PluginEntry {
  /** Unique in an engine. Default: `package`. */
  readonly name: string;
  /** The name of the npm package, or the absolute path of its directory. Default: the package of the engine's plugin of that name. */
  readonly package: string;
  /** The plugin's own settings; the plugin checks them. */
  readonly config: unknown;
  /** False switches the plugin of this name off. Default: `true`. */
  readonly enabled?: boolean;
}

/** By the new driver's id. */
export type FurtherDrivers = Readonly<Record<string, FurtherDriver>>;
/** In the file the settings are beside `driver`. */
export interface FurtherDriver {
  /** The id of the installed driver. */
  readonly driver: string;
  /** As in an entry of `plugins`; undefined: there are none. */
  readonly config: unknown;
}
export const furtherKinds = ["storage", "exec", "network", "registry", "volume", "log"] as const;

export const emptyConfig: EngineConfig = {
  root: null,
  state: null,
  hosts: [],
  logLevel: "info",
  drivers: {},
  storage: {},
  exec: {},
  network: {},
  registry: {},
  volume: {},
  log: {},
  plugins: [],
  isolation: {},
  deadlines: {},
};

/** Throws `NotFound` for a missing file. */
export async function readConfig(path: string): Promise<EngineConfig> {
  return parseConfig(await readJson(path), path);
}

/** `where` names the file in error messages. */
export function parseConfig(raw: unknown, where: string): EngineConfig {
  const at = (key: string): string => `${where}: ${key}`;
  const fields = record(raw, where);
  knownKeys(fields, Object.keys(emptyConfig), where);
  const further = (kind: (typeof furtherKinds)[number]): FurtherDrivers =>
    optional(fields[kind], {}, (value) => parseFurther(kind, value, at(kind)));
  return {
    root: optional(fields.root, null, (value) => absolutePath(value, at("root"))),
    state: optional(fields.state, null, (value) => absolutePath(value, at("state"))),
    hosts: optional(fields.hosts, [], (value) => list(value, at("hosts"), text)),
    logLevel: optional(fields.logLevel, "info", (value) => oneOf(value, ["debug", "info", "warn", "error"], at("logLevel"))),
    drivers: optional(fields.drivers, {}, (value) => values(value, at("drivers"), text)),
    storage: further("storage"),
    exec: further("exec"),
    network: further("network"),
    registry: further("registry"),
    volume: further("volume"),
    log: further("log"),
    plugins: optional(fields.plugins, [], (value) => parseEntries(value, at("plugins"))),
    isolation: optional(fields.isolation, {}, (value) =>
      values(value, at("isolation"), (word, path) => oneOf(word, ["none", "process"] as const, path)),
    ),
    deadlines: optional(fields.deadlines, {}, (value) => values(value, at("deadlines"), positive)),
  };
}

function parseFurther(kind: string, raw: unknown, path: string): FurtherDrivers {
  if (typeof raw === "string") {
    const here = nameHere(kind, raw);
    const why = here === null ? `${path} adds drivers, and must be an object` : `${path}: ${here} stands in the place of ${raw}`;
    throw fail("InvalidArgument", `${why}; to choose one write "drivers": {"${kind}": "${here ?? raw}"}`);
  }
  const parsed = values(raw, path, (value, itemPath): FurtherDriver => {
    const { driver, ...config } = record(value, itemPath);
    return { driver: text(driver, `${itemPath}.driver`), config: Object.keys(config).length === 0 ? undefined : config };
  });
  for (const id of Object.keys(parsed)) {
    if (!driverId.test(id))
      throw fail(
        "InvalidArgument",
        `${path}: ${JSON.stringify(id)} is no id of a driver: it has 1 to 63 of a-z 0-9 _ . -, and begins with a letter or digit`,
      );
  }
  return parsed;
}

/** The id is a part of file names, and the scheme of a registry's references. */
const driverId = /^[a-z0-9][a-z0-9_.-]{0,62}$/;

/** The engine's list: `{"plugins": ["@tsbox/state", {"package": "@tsbox/exec-oci", "name": "crun", "config": {…}}]}`. */
export async function readEngineList(path: string): Promise<readonly PluginEntry[]> {
  const fields = record(await readJson(path), path);
  knownKeys(fields, ["plugins"], path);
  return parseEntries(fields.plugins, `${path}: plugins`);
}

function parseEntries(raw: unknown, path: string): readonly PluginEntry[] {
  return list(raw, path, (item, itemPath) => {
    if (typeof item === "string") return { name: item, package: item, config: undefined };
    const fields = record(item, itemPath);
    knownKeys(fields, ["name", "package", "config", "enabled"], itemPath);
    const own = fields.package === undefined && fields.name !== undefined ? "" : text(fields.package, `${itemPath}.package`);
    return {
      name: optional(fields.name, own, (value) => text(value, `${itemPath}.name`)),
      package: own,
      config: fields.config,
      ...(fields.enabled === undefined ? {} : { enabled: flag(fields.enabled, `${itemPath}.enabled`) }),
    };
  });
}

async function readJson(path: string): Promise<unknown> {
  let source: string;
  try {
    source = await readFile(path, "utf8");
  } catch (error) {
    const { code } = asError(error) as NodeJS.ErrnoException;
    if (code === "ENOENT") throw fail("NotFound", `no such file: ${path}`, { path });
    throw fail("PermissionDenied", `can't read ${path}: ${asError(error).message}`, { path, cause: error });
  }
  try {
    return JSON.parse(source);
  } catch (error) {
    throw fail("InvalidArgument", `${path} is not JSON: ${asError(error).message.replaceAll("\n", " ")}`, { path, cause: error });
  }
}

function optional<T>(value: unknown, absent: T, parse: (value: unknown) => T): T {
  return value === undefined ? absent : parse(value);
}

/** Also used for manifests. Throws `InvalidArgument` with the path of the wrong value. */
export function record(value: unknown, path: string): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Readonly<Record<string, unknown>>;
  throw wrong(path, "an object", value);
}

export function knownKeys(fields: object, known: readonly string[], path: string): void {
  for (const key of Object.keys(fields)) {
    if (!known.includes(key)) throw fail("InvalidArgument", `${path}: unknown key ${JSON.stringify(key)}; known are ${known.join(", ")}`);
  }
}

export function text(value: unknown, path: string): string {
  if (typeof value === "string" && value !== "") return value;
  throw wrong(path, "a string", value);
}

export function values<T>(value: unknown, path: string, parse: (value: unknown, path: string) => T): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(record(value, path)).map(([key, item]) => [key, parse(item, `${path}.${key}`)]));
}

export function oneOf<T extends string>(value: unknown, words: readonly T[], path: string): T {
  const found = words.find((word) => word === value);
  if (found !== undefined) return found;
  throw wrong(path, `one of ${words.join(", ")}`, value);
}

function list<T>(value: unknown, path: string, parse: (value: unknown, path: string) => T): readonly T[] {
  if (!Array.isArray(value)) throw wrong(path, "a list", value);
  return value.map((item, index) => parse(item, `${path}[${index}]`));
}

function absolutePath(value: unknown, path: string): string {
  if (typeof value === "string" && isAbsolute(value)) return value;
  throw wrong(path, "an absolute path", value);
}

function flag(value: unknown, path: string): boolean {
  if (typeof value === "boolean") return value;
  throw wrong(path, "true or false", value);
}

export function positive(value: unknown, path: string): number {
  if (typeof value === "number" && value > 0) return value;
  throw wrong(path, "a number above 0", value);
}

function wrong(path: string, wanted: string, got: unknown): Error {
  return fail("InvalidArgument", `${path} must be ${wanted}, not ${JSON.stringify(got) ?? "undefined"}`);
}
