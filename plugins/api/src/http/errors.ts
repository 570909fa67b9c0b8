/** Errors as Docker's clients expect them: a status and `{"message"}`. */
import { asError, errorTable, exhaustion, isTsboxError, plainCell } from "@tsbox/kernel";

export interface Failure {
  readonly status: number;
  readonly message: string;
}

/** Characters. A message quotes text of clients, images and registries. */
const longestMessage = 4096;
const endLength = 1024;

/** Docker's client prints the message as it is. */
const shown = (message: string): string => plainCell(message.length > longestMessage ? shortened(message) : message);

/** Cut in the middle: what is wrong stands at the end, and it quotes what may be long. */
const shortened = (message: string): string => `${message.slice(0, longestMessage - endLength)}…${message.slice(-endLength)}`;

export function failureOf(thrown: unknown): Failure {
  const { status, message } = rawFailure(thrown);
  return { status, message: shown(message) };
}

function rawFailure(thrown: unknown): Failure {
  if (isTsboxError(thrown)) return { status: errorTable[thrown.code].http, message: thrown.message };
  const error = asError(thrown);
  const lack = exhaustion(error);
  if (lack !== null) return failureOf(lack);
  // An error of the HTTP framework: a body that is too long, a broken header.
  const { statusCode } = error as { readonly statusCode?: unknown };
  return { status: typeof statusCode === "number" && statusCode >= 400 && statusCode < 500 ? statusCode : 500, message: error.message };
}

/** After a stream's first byte its status stays 200, so the error is its last line. */
export const errorLine = (thrown: unknown): { readonly errorDetail: { readonly message: string }; readonly error: string } => {
  const { message } = failureOf(thrown);
  return { errorDetail: { message }, error: message };
};
