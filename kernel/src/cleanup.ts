/** The only way to write undo: the steps run in reverse order, every step runs, and no step hides the first error. */
import { asError, isTsboxError, TsboxError } from "./errors/index.ts";

export interface Cleanup {
  /** Runs when the body ends, however it ends. */
  always(step: () => unknown): void;
  /** Runs only when the body throws. */
  undo(step: () => unknown): void;
}

/**
 * Runs `body`, then the steps that it registered, last first. If the body throws, its error is thrown with the errors of the steps in
 * `suppressed`. If only steps throw, the first of their errors is thrown. A step must not use a call that may be canceled:
 * `cleanupCall(call)` creates one for it.
 */
export async function withCleanup<T>(body: (cleanup: Cleanup) => Promise<T>): Promise<T> {
  const steps: { readonly run: () => unknown; readonly onlyOnError: boolean }[] = [];
  const cleanup: Cleanup = {
    always: (run) => steps.push({ run, onlyOnError: false }),
    undo: (run) => steps.push({ run, onlyOnError: true }),
  };
  let outcome: { readonly value: T } | { readonly error: Error };
  try {
    outcome = { value: await body(cleanup) };
  } catch (thrown) {
    outcome = { error: asError(thrown) };
  }
  const errors: Error[] = "error" in outcome ? [outcome.error] : [];
  const failed = errors.length > 0;
  for (const step of steps.reverse()) {
    if (step.onlyOnError && !failed) continue;
    try {
      await step.run();
    } catch (thrown) {
      errors.push(asError(thrown));
    }
  }
  const [first, ...later] = errors;
  if (first !== undefined) throw later.length === 0 ? first : suppressing(first, later);
  if ("error" in outcome) throw outcome.error;
  return outcome.value;
}

/** `error` with the errors of the cleanup after it in `suppressed`. */
export function suppressing(error: Error, later: readonly Error[]): Error {
  if (isTsboxError(error)) return error.with({ suppressed: [...(error.suppressed ?? []), ...later] });
  return new TsboxError("Internal", error.message, { cause: error, suppressed: later });
}
