/** Runs the plugins of a configuration, as SPEC.md, section 4 says: ADD in order, DEL in reverse. */
import { type Call, deriveCall, fail, type HostToolkit, isTsboxError, parseJson, plainCell } from "@tsbox/kernel";
import { type Configuration, executable, type PluginConfiguration } from "./configuration.ts";
import type { Settings } from "./settings.ts";

export interface Invocation {
  readonly configuration: Configuration;
  /** `CNI_CONTAINERID`. */
  readonly container: string;
  /** The path of the namespace; empty: it is gone. */
  readonly netns: string;
  readonly interface: string;
  /** The arguments of capabilities, for the plugins that have them. */
  readonly runtimeConfig: Readonly<Record<string, unknown>>;
}

/** Bytes of an answer. */
const largest = 1 << 20;
/** Characters of a plugin's own words in a message. */
const longest = 500;

export class Execution {
  readonly #host: HostToolkit;
  readonly #settings: Settings;

  constructor(host: HostToolkit, settings: Settings) {
    this.#host = host;
    this.#settings = settings;
  }

  /** Answers the last plugin's result. `only`: the others are left out. */
  async add(
    call: Call,
    invocation: Invocation,
    previous: unknown = null,
    only = (_: PluginConfiguration): boolean => true,
  ): Promise<unknown> {
    let result = previous;
    for (const plugin of invocation.configuration.plugins.filter(only)) result = await this.#run(call, "ADD", invocation, plugin, result);
    return result;
  }

  /** Each plugin gets its turn; the first error is thrown at the end. */
  async remove(call: Call, invocation: Invocation, previous: unknown, only = (_: PluginConfiguration): boolean => true): Promise<void> {
    const errors: unknown[] = [];
    for (const plugin of invocation.configuration.plugins.filter(only).reverse())
      await this.#run(call, "DEL", invocation, plugin, previous).catch((error: unknown) => errors.push(error));
    if (errors.length > 0) throw errors[0];
  }

  async #run(call: Call, command: "ADD" | "DEL", invocation: Invocation, plugin: PluginConfiguration, previous: unknown): Promise<unknown> {
    const { configuration, container, netns, runtimeConfig } = invocation;
    const { name, cniVersion } = configuration;
    const asked = Object.entries(runtimeConfig).filter(([key]) => Object.hasOwn(plugin.capabilities, key) && plugin.capabilities[key]);
    const input = {
      ...plugin.raw,
      name,
      cniVersion,
      ...(asked.length === 0 ? {} : { runtimeConfig: Object.fromEntries(asked) }),
      ...(previous === null ? {} : { prevResult: previous }),
    };
    const limited = deriveCall(call, { timeout: this.#settings.timeout * 1000 });
    const { exitCode, stdout, stderr } = await this.#host
      .run(limited, {
        argv: [executable(plugin.type, this.#settings)],
        environment: {
          CNI_COMMAND: command,
          CNI_CONTAINERID: container,
          CNI_NETNS: netns,
          CNI_IFNAME: invocation.interface,
          CNI_PATH: this.#settings.plugins.join(":"),
          // Plugins run iptables.
          PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        },
        workingDirectory: "/",
        stdin: JSON.stringify(input),
      })
      .catch((error: unknown) => {
        if (call.signal.aborted || !isTsboxError(error) || error.code !== "DeadlineExceeded") throw error;
        const limit = this.#settings.timeout;
        const why = `the CNI plugin ${plugin.type} of network ${name} has not ended within ${limit} s (${command}), and is killed`;
        throw fail("DeadlineExceeded", `${why}: see what it waits for`, { cause: error });
      });
    if (exitCode !== 0) throw refusal(plugin.type, name, command, exitCode, stdout, stderr);
    if (command === "DEL") return null;
    try {
      if (stdout.length > largest) throw new SyntaxError(`it has ${stdout.length} bytes`);
      return parseJson(Buffer.from(stdout).toString());
    } catch (error) {
      throw fail("FailedPrecondition", `the CNI plugin ${plugin.type} of network ${name} answered no JSON; it is broken`, { cause: error });
    }
  }
}

/** An error is JSON on the standard output (SPEC.md, section 5); a program that fails otherwise has words on its standard error. */
function refusal(type: string, network: string, command: string, exitCode: number, stdout: Uint8Array, stderr: Uint8Array): Error {
  let words = "";
  let code: unknown;
  try {
    const told = parseJson(Buffer.from(stdout.subarray(0, largest)).toString()) as { msg?: unknown; details?: unknown; code?: unknown };
    code = told.code;
    words = [told.msg, told.details].filter((word) => typeof word === "string" && word !== "").join(": ");
  } catch {
    words = Buffer.from(stderr.subarray(0, largest)).toString().trim().split("\n").at(-1) ?? "";
  }
  const why = words === "" ? `it exited with ${exitCode}` : plainCell(words.slice(0, longest));
  // 11: "Try again later".
  return fail(
    code === 11 ? "Unavailable" : "FailedPrecondition",
    `the CNI plugin ${type} of network ${network} failed (${command}): ${why}`,
  );
}
