/** What went wrong, as Docker's clients expect it: a status and `{"message"}`. */
import { asError, errorTable, isTsboxError } from "@tsbox/kernel";

export interface Failure {
  readonly status: number;
  readonly message: string;
}

export function failureOf(thrown: unknown): Failure {
  if (isTsboxError(thrown)) return { status: errorTable[thrown.code].http, message: thrown.message };
  const error = asError(thrown);
  // The framework's own: a body that is too long, a broken header.
  const { statusCode } = error as { readonly statusCode?: unknown };
  return { status: typeof statusCode === "number" && statusCode >= 400 && statusCode < 500 ? statusCode : 500, message: error.message };
}

/** Once a stream has begun its status is 200 for good: the failure is its last line. */
export const errorLine = (thrown: unknown): { readonly errorDetail: { readonly message: string }; readonly error: string } => {
  const { message } = failureOf(thrown);
  return { errorDetail: { message }, error: message };
};
