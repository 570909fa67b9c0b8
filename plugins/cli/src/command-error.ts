/** Errors of a command that are messages for the user. */

/** A failure with its own exit code and a complete message. */
export class CommandError extends Error {
  readonly exitCode: number;
  constructor(exitCode: number, text: string) {
    super(text);
    this.exitCode = exitCode;
  }
}

/** A wrong command line: an unknown flag, too many arguments. */
export class UsageError extends CommandError {
  readonly #wrong: string;
  readonly #cure: string;
  /** `wrong`: the error. `command`: the command's name. */
  constructor(exitCode: number, wrong: string, command: string) {
    const cure = `Run 'tsbox ${command} --help' for more information`;
    super(exitCode, `${wrong}\n\n${cure}`);
    this.#wrong = wrong;
    this.#cure = cure;
  }

  /** The message for the user, with the command's usage. */
  withUsage(usage: string): string {
    return `${this.#wrong}\n\nUsage:  tsbox ${usage}\n\n${this.#cure}`;
  }
}
