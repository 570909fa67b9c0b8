/** Settles a container's log at its creation: the driver, its options, and the monitor's file. */
import { type Call, type ContainerConfig, fail, isTsboxError, type LogDriver, type ShimLog, type Strings, supports } from "@tsbox/kernel";
import type { Drivers } from "../engine.ts";
import { checkTag } from "./tag.ts";

/** What the operator sets for containers that ask for no log driver, or for the default one. */
export interface LogDefaults {
  readonly logOptions: Strings;
}
export interface SettledLog {
  readonly config: ContainerConfig["log"];
  /** What the monitor writes. */
  readonly format: ShimLog["driver"];
  /** Null: for the size, the default. */
  readonly maxBytes: number | null;
  readonly maxFiles: number | null;
  /** Whether the engine sends what the monitor writes. */
  readonly sends: boolean;
}

/** Options that choose tag and attributes, and Docker's buffer: the file is the buffer here, so the container never waits for a driver. */
const common = ["labels", "labels-regex", "env", "env-regex", "tag", "mode", "max-buffer-size"];
/** Docker's options of the file from which `logs` reads, where the driver itself can't be read. */
const cache = ["cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"];

export async function settleLog(engine: Drivers & LogDefaults, call: Call, asked: ContainerConfig["log"]): Promise<SettledLog> {
  const preferred = await engine.preferred("log");
  const id = asked.driver === "" ? preferred : asked.driver;
  const options = id === preferred ? { ...engine.logOptions, ...asked.options } : asked.options;
  const driver = await find(engine, id);
  const sends = supports(driver, "send");
  const taken = sends ? [...common, ...cache] : common;
  const known = [...driver.options, ...taken];
  for (const key of Object.keys(options))
    if (!known.includes(key)) throw fail("InvalidArgument", `unknown log opt '${key}' for ${id} log driver: there are ${known.join(", ")}`);
  checkCommon(options);
  await driver.check(call, Object.fromEntries(Object.entries(options).filter(([key]) => driver.options.includes(key))));
  const prefix = sends ? "cache-" : "";
  return {
    config: { driver: id, options },
    format: supports(driver, "file") ? driver.format : "local",
    maxBytes: sizeOf(options, `${prefix}max-size`),
    maxFiles: filesOf(options, `${prefix}max-file`),
    sends,
  };
}

async function find(engine: Drivers, id: string): Promise<LogDriver> {
  try {
    return await engine.log(id);
  } catch (error) {
    if (!isTsboxError(error) || error.code !== "DriverMissing" || (await engine.logIds()).includes(id)) throw error;
    const known = [...(await engine.logIds())].sort().join(", ");
    throw fail("InvalidArgument", `logger: no log driver named '${id}' is registered; there are ${known}`, { cause: error });
  }
}

/** All values that the engine itself reads. */
function checkCommon(options: Strings): void {
  for (const key of ["labels-regex", "env-regex"]) {
    try {
      new RegExp(options[key] ?? "");
    } catch (error) {
      throw fail("InvalidArgument", `invalid log option ${key}=${options[key]}: no regular expression`, { cause: error });
    }
  }
  const { mode = "", tag, "max-buffer-size": buffer } = options;
  if (tag !== undefined) checkTag(tag);
  if (!["", "blocking", "non-blocking"].includes(mode))
    throw fail("InvalidArgument", `logger: logging mode not supported: ${mode}: give blocking or non-blocking`);
  if (buffer !== undefined && mode !== "non-blocking")
    throw fail("InvalidArgument", "logger: max-buffer-size option is only supported with 'mode=non-blocking'");
  sizeOf(options, "max-buffer-size");
  for (const key of ["cache-disabled", "cache-compress"])
    if (!/^(|0|1|t|f|true|false)$/i.test(options[key] ?? ""))
      throw fail("InvalidArgument", `invalid log option ${key}=${options[key]}: give true or false`);
}

/** Whether `logs` may read the file. */
export const isReadable = ({ log }: Pick<ContainerConfig, "log">): boolean => !/^(1|t|true)$/i.test(log.options["cache-disabled"] ?? "");

/** Null: the option is not given. */
function sizeOf(options: Strings, key: string): number | null {
  const text = options[key];
  if (text === undefined) return null;
  const [, digits = "", unit = ""] = /^(\d{1,12}(?:\.\d{1,3})?)\s?([kmg]?)(?:i?b)?$/i.exec(text) ?? [];
  const bytes = Math.floor(Number(digits) * 1024 ** ["", "k", "m", "g"].indexOf(unit.toLowerCase()));
  if (digits === "" || bytes < 1) throw fail("InvalidArgument", `invalid log option ${key}=${text}: give a number above 0, with k, m or g`);
  return bytes;
}

/** Each rotation renames all files. */
const mostFiles = 1000;

function filesOf(options: Strings, key: string): number | null {
  const text = options[key];
  if (text === undefined) return null;
  if (!/^\d{1,4}$/.test(text) || Number(text) < 1 || Number(text) > mostFiles)
    throw fail("InvalidArgument", `invalid log option ${key}=${text}: give a number from 1 to ${mostFiles}`);
  return Number(text);
}
