/** The operator's settings of one runtime. */
import { fail, settingsOf } from "@tsbox/kernel";

export interface Settings {
  /** The runtime's program: a name that PATH finds, or an absolute path. */
  readonly path: string;
  /** Options before the command, such as `--platform=ptrace`. */
  readonly arguments: readonly string[];
}

export function parseSettings(raw: unknown): Settings {
  const { path = "runc", arguments: words = [] } = settingsOf(raw, ["path", "arguments"]);
  if (typeof path !== "string" || path === "" || (path.includes("/") && !path.startsWith("/")))
    throw fail("InvalidArgument", `"path" must be a program's name or an absolute path, not ${JSON.stringify(path)}`);
  if (!Array.isArray(words) || !words.every((word): word is string => typeof word === "string"))
    throw fail("InvalidArgument", `"arguments" must be a list of strings, not ${JSON.stringify(words)}`);
  return { path, arguments: words };
}
