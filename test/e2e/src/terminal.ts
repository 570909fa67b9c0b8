/** A real pseudo-terminal of 33 rows and 99 columns, which script(1) makes. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { binary, type Engine, until } from "./engine.ts";

export class Terminal {
  readonly #script: ChildProcessWithoutNullStreams;
  readonly ended: Promise<number | null>;
  output = "";

  /** `command`: words of a shell after the program, which is ours by default. */
  constructor(own: Engine, command: string, program: string = binary) {
    this.#script = spawn("script", ["-qefc", `stty rows 33 cols 99; exec ${program} ${command}`, "/dev/null"], {
      env: { ...own.environment, SHELL: "/bin/sh", TERM: "xterm", DOCKER_HOST: `unix://${own.socket}` },
    });
    this.#script.stdout.setEncoding("utf8").on("data", (text: string) => (this.output += text));
    this.ended = new Promise((resolve) => this.#script.on("close", resolve));
  }

  type(keys: string): void {
    this.#script.stdin.write(keys);
  }

  async shows(pattern: RegExp): Promise<void> {
    await until(
      () => pattern.test(this.output),
      () => `${pattern} on the terminal, which shows ${JSON.stringify(this.output)}`,
    );
  }
}
