import { join } from "node:path";
import { fail, type Plugin, settingsOf } from "@tsbox/kernel";
import { OciRuntimeDriver } from "./driver.ts";
import { CommandLine } from "./internal/command-line.ts";
import { probe, versionOf } from "./probe.ts";
import { SandboxedDriver } from "./sandboxed.ts";

interface Config {
  /** The runtime's program: a name that PATH finds, or an absolute path. Default: `"runc"`. */
  readonly path: string;
  /** Options before the runtime's command, such as `["--platform=ptrace"]`. Default: `[]`. */
  readonly arguments: readonly string[];
}

const plugin: Plugin<Config> = {
  parseConfig(raw) {
    const { path = "runc", arguments: words = [] } = settingsOf(raw, ["path", "arguments"]);
    if (typeof path !== "string" || path === "" || (path.includes("/") && !path.startsWith("/")))
      throw fail("InvalidArgument", `path ${JSON.stringify(path)} is neither a program's name nor an absolute path`);
    if (!Array.isArray(words) || !words.every((word): word is string => typeof word === "string"))
      throw fail("InvalidArgument", `arguments ${JSON.stringify(words)} is no list of strings`);
    return { path, arguments: words };
  },
  setup(context) {
    const { config } = context;
    context.provideDriver("exec", "oci", {
      probe: async (call) => probe(call, await context.service("host"), config.path),
      open: async (call) => {
        const host = await context.service("host");
        const runtime = new CommandLine(host, config, join(context.stateDirectory, "containers"));
        const version = await versionOf(call, host, config.path);
        return version.name === "runsc" ? new SandboxedDriver(runtime, version) : new OciRuntimeDriver(runtime, version);
      },
    });
  },
};
export default plugin;
