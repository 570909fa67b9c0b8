/** `HostConfig.LogConfig`: the log driver and its options, which are read at the start and by `logs --details`. */
import { type ContainerConfig, fail } from "@tsbox/kernel";
import { type Loose, object, text, words } from "./loose.ts";

/** Those of docker's drivers. The log is never compressed, has no tag, and never blocks on a full buffer, so the last four do nothing. */
const known = ["max-size", "max-file", "labels", "labels-regex", "env", "env-regex", "compress", "tag", "mode", "max-buffer-size"];
const drivers = ["local", "json-file", "none"] as const;
/** Each rotation renames all files. */
const mostFiles = 1000;

export function logOf(log: Loose): ContainerConfig["log"] {
  const asked = text(log, "Type") || "local";
  const driver = drivers.find((one) => one === asked);
  if (driver === undefined)
    throw fail("InvalidArgument", `logger: no log driver named '${asked}' is registered; there are local, json-file and none`);
  const options = words(log, "Config");
  for (const key of Object.keys(object(log, "Config")))
    if (!known.includes(key))
      throw fail("InvalidArgument", `unknown log opt '${key}' for ${driver} log driver: there are ${known.join(", ")}`);
  const { "max-size": size, "max-file": files } = options;
  if (size !== undefined && !/^0*[1-9]\d{0,11}[kmg]?b?$/i.test(size))
    throw fail("InvalidArgument", `invalid log option max-size=${size}: give a number above 0, with k, m or g`);
  if (files !== undefined && !(/^\d{1,4}$/.test(files) && Number(files) >= 1 && Number(files) <= mostFiles))
    throw fail("InvalidArgument", `invalid log option max-file=${files}: give a number from 1 to ${mostFiles}`);
  for (const key of ["labels-regex", "env-regex"]) checkExpression(key, options[key] ?? "");
  return { driver, options };
}

function checkExpression(key: string, source: string): void {
  try {
    new RegExp(source);
  } catch (error) {
    throw fail("InvalidArgument", `invalid log option ${key}=${source}: no regular expression`, { cause: error });
  }
}
