/** What a command throws for the user to read. */

/** A failure with an exit code of its own, already in words for the user. */
export class CommandError extends Error {
  readonly exitCode: number;
  constructor(exitCode: number, text: string) {
    super(text);
    this.exitCode = exitCode;
  }
}
