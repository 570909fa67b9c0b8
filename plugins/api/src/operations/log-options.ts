/** `HostConfig.LogConfig`: the log driver and its options, which `create` checks. */
import { type ContainerConfig, fail } from "@tsbox/kernel";
import { type Loose, object, text, words } from "./loose.ts";

export function logOf(log: Loose): ContainerConfig["log"] {
  const options = words(log, "Config");
  const wrong = Object.keys(object(log, "Config")).find((key) => !Object.hasOwn(options, key));
  if (wrong !== undefined) throw fail("InvalidArgument", `invalid log option ${wrong}: its value is no text`);
  return { driver: text(log, "Type"), options };
}
