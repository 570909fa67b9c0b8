/** What a command throws for the user to read. */

/** A failure with an exit code of its own, already in words for the user. */
export class CommandError extends Error {
  readonly exitCode: number;
  constructor(exitCode: number, text: string) {
    super(text);
    this.exitCode = exitCode;
  }
}

/** A command line that is wrong: a flag that there is none of, too many words. */
export class UsageError extends CommandError {
  readonly #wrong: string;
  readonly #cure: string;
  /** `wrong`: what is wrong. `command`: its name. */
  constructor(exitCode: number, wrong: string, command: string) {
    const cure = `Run 'tsbox ${command} --help' for more information`;
    super(exitCode, `${wrong}\n\n${cure}`);
    this.#wrong = wrong;
    this.#cure = cure;
  }

  /** The words for the user, with the command's usage. */
  withUsage(usage: string): string {
    return `${this.#wrong}\n\nUsage:  tsbox ${usage}\n\n${this.#cure}`;
  }
}
