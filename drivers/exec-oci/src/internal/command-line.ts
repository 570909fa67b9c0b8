/** One runtime's command line, as runc has defined it. */
import { existsSync, readdirSync } from "node:fs";
import { type Call, type CommandResult, type ContainerId, fail, type HostToolkit, type LaunchStep } from "@tsbox/kernel";

/** How much of a runtime's error output is quoted. */
const quoted = 1000;

/** The runtime's program, and its options before a command. */
export interface Program {
  readonly path: string;
  readonly arguments: readonly string[];
}

export class CommandLine {
  /** The program's name without its directory, for messages. */
  readonly name: string;
  readonly #host: Pick<HostToolkit, "run">;
  readonly #program: Program;
  /** The runtime's own directory (`--root`), with entries that begin with the container's id (`ID`, `ID_sandbox:ID.state`). */
  readonly #root: string;

  constructor(host: Pick<HostToolkit, "run">, program: Program, root: string) {
    this.#host = host;
    this.#program = program;
    this.#root = root;
    this.name = program.path.slice(program.path.lastIndexOf("/") + 1);
  }

  /** A step of a launch. `log`: the file for its errors. */
  step(
    log: string,
    directory: string,
    words: readonly string[],
    { stdio = false, held = false }: { readonly stdio?: boolean; readonly held?: boolean } = {},
  ): LaunchStep {
    return {
      argv: this.#argv(words, ["--log", log, "--log-format", "json"]),
      environment: environment(),
      workingDirectory: directory,
      stdio,
      held,
    };
  }

  /** Runs a command to its end. Throws `Internal` with the runtime's words if it fails. */
  async run(call: Call, ...words: readonly string[]): Promise<CommandResult> {
    const result = await this.#host.run(call, { argv: this.#argv(words), environment: environment(), workingDirectory: "/" });
    if (result.exitCode === 0) return result;
    const said = Buffer.from(result.stderr).toString().trim().slice(-quoted);
    throw fail("Internal", `${this.name} ${words[0]} exited with ${result.exitCode}${said === "" ? "" : `: ${said}`}`);
  }

  /** Whether the runtime has anything of this container. */
  knows(id: ContainerId): boolean {
    return this.known().includes(id);
  }

  /** Ends and forgets a container. */
  async forget(call: Call, id: ContainerId): Promise<void> {
    if (this.knows(id)) await this.run(call, "delete", "--force", id);
  }

  /** The ids of the containers that the runtime knows. */
  known(): readonly string[] {
    const names = existsSync(this.#root) ? readdirSync(this.#root) : [];
    return [...new Set(names.flatMap((name) => /^[0-9a-f]{64}(?![0-9a-f])/.exec(name)?.[0] ?? []))];
  }

  #argv(words: readonly string[], log: readonly string[] = []): readonly string[] {
    return [this.#program.path, "--root", this.#root, ...log, ...this.#program.arguments, ...words];
  }
}

/** Runtimes look for programs of hooks and for `newuidmap` in PATH. */
export const environment = (): Record<string, string> => ({ PATH: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin" });
