/**
 * CNI network configuration lists (github.com/containernetworking/cni, SPEC.md, section 1). A file with a single plugin (`.conf`) is a list
 * of one.
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { asError, fail, type Network, parseJson } from "@tsbox/kernel";
import type { Settings } from "./settings.ts";

export interface Configuration {
  readonly name: string;
  readonly cniVersion: string;
  readonly plugins: readonly PluginConfiguration[];
}
export interface PluginConfiguration {
  readonly type: string;
  readonly capabilities: Readonly<Record<string, boolean>>;
  /** All of it, as it is passed on. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/** Bytes of a configuration file. */
const largest = 1 << 20;
const mostPlugins = 16;
const mostFiles = 1000;
const versions = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The configuration that the network names by its path, or by the name inside it. */
export function configurationOf(network: Network, settings: Settings): Configuration {
  const wrong = (text: string): Error => fail("InvalidArgument", `network ${network.name}: ${text}`);
  const unknown = Object.keys(network.options).find((key) => key !== "conf");
  if (unknown !== undefined) throw wrong(`option ${unknown} is unknown to cni; it knows conf`);
  const { conf } = network.options;
  if (conf === undefined) throw wrong("give -o conf= the path of a CNI configuration, or the name of one in /etc/cni/net.d");
  const [first] = network.subnets;
  if (first !== undefined) throw wrong("its CNI configuration has the addresses; leave out --subnet");
  if (network.internal) throw wrong("its CNI configuration says what it reaches; leave out --internal");
  const parsed = conf.startsWith("/") ? readConfiguration(conf) : findByName(conf, settings.configurations);
  if (parsed === null) throw wrong(`no CNI configuration in ${settings.configurations} has the name ${conf}`);
  for (const { type } of parsed.plugins) executable(type, settings);
  return parsed;
}

/** The path of a plugin's program. */
export function executable(type: string, { plugins }: Settings): string {
  const found = plugins.map((directory) => join(directory, type)).find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw fail(
    "InvalidArgument",
    `there is no CNI plugin ${type} in ${plugins.join(", ")}; install it, or name its directory in the plugin's config`,
  );
}

function findByName(name: string, directory: string): Configuration | null {
  let names: readonly string[];
  try {
    names = readdirSync(directory).sort().slice(0, mostFiles);
  } catch {
    return null;
  }
  for (const file of names.filter((one) => /\.(conflist|conf|json)$/.test(one))) {
    try {
      const parsed = readConfiguration(join(directory, file));
      if (parsed.name === name) return parsed;
    } catch {
      // A damaged file concerns those that it is for.
    }
  }
  return null;
}

export function readConfiguration(path: string): Configuration {
  const wrong = (text: string, cause?: unknown): Error =>
    fail("InvalidArgument", `the CNI configuration ${path} can't be used: ${text}`, cause === undefined ? {} : { cause });
  let raw: unknown;
  try {
    const { size } = statSync(path);
    if (size > largest) throw wrong(`it has ${size} bytes, at most ${largest} are read`);
    raw = parseJson(readFileSync(path, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") throw wrong("there is no such file");
    throw wrong(asError(error).message, error);
  }
  return parseConfiguration(raw, wrong);
}

export function parseConfiguration(raw: unknown, wrong: (text: string) => Error): Configuration {
  if (!isObject(raw)) throw wrong("it is no JSON object");
  const { name, cniVersion = "0.2.0", plugins = [raw] } = raw;
  if (typeof name !== "string" || !/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,255}$/.test(name))
    throw wrong('it needs a "name" of letters, digits, or any of _.-');
  if (typeof cniVersion !== "string" || !versions.includes(cniVersion))
    throw wrong(`cniVersion ${JSON.stringify(cniVersion)} is unknown; known are ${versions.join(", ")}`);
  if (!Array.isArray(plugins) || plugins.length === 0 || plugins.length > mostPlugins)
    throw wrong(`"plugins" is a list of 1 to ${mostPlugins} plugins`);
  return {
    name,
    cniVersion,
    plugins: plugins.map((one: unknown): PluginConfiguration => {
      // The type is the name of a file in one of the plugins' directories.
      if (!isObject(one) || typeof one.type !== "string" || !/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(one.type))
        throw wrong('each of its plugins needs a "type", the name of a program');
      const wanted = isObject(one.capabilities) ? one.capabilities : {};
      const capabilities = Object.fromEntries(Object.entries(wanted).map(([key, value]) => [key, value === true]));
      return { type: one.type, capabilities, raw: one };
    }),
  };
}

export const hasCapability = ({ plugins }: Configuration, capability: string): boolean =>
  plugins.some(({ capabilities }) => Object.hasOwn(capabilities, capability) && capabilities[capability] === true);
