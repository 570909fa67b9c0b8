/** The one error class. It is branded by `Symbol.for`, so that two copies of this package recognize each other's errors. */
import type { ErrorCode, ErrorFields } from "../contract/error.ts";
import { errorTable } from "./table.ts";

const brand: unique symbol = Symbol.for("tsbox.error");

export class TsboxError extends Error implements ErrorFields {
  readonly code: ErrorCode;
  declare readonly reason?: string;
  declare readonly plugin?: string;
  declare readonly syscall?: string;
  declare readonly errno?: number;
  declare readonly path?: string;
  declare readonly stage?: string;
  declare readonly suppressed?: readonly Error[];

  constructor(code: ErrorCode, text: string, fields: ErrorFields = {}) {
    const { cause, ...rest } = fields;
    super(text, cause === undefined ? undefined : { cause });
    this.code = code;
    Object.assign(this, rest);
    Object.defineProperty(this, brand, { value: true });
  }

  override get name(): string {
    return "TsboxError";
  }

  /** A copy with more fields; its stack is that of the first throw. */
  with(fields: ErrorFields): TsboxError {
    const copy = new TsboxError(this.code, this.message, { ...fieldsOf(this), ...fields });
    if (this.stack !== undefined) copy.stack = this.stack;
    return copy;
  }
}

/**
 * Makes an error to throw: `throw fail("NotFound", "no such image: x; pull it first")`. The text is one line that says what happened, why
 * and what to do.
 */
export function fail(code: ErrorCode, text: string, fields?: ErrorFields): TsboxError {
  return new TsboxError(code, text, fields);
}

export function isTsboxError(error: unknown): error is TsboxError {
  return (
    error instanceof Error && brand in error && "code" in error && typeof error.code === "string" && Object.hasOwn(errorTable, error.code)
  );
}

/** The error's fields besides code and message, without the undefined ones. */
export function fieldsOf(error: TsboxError): ErrorFields {
  const { reason, plugin, syscall, errno, path, stage, cause, suppressed } = error;
  return Object.fromEntries(
    Object.entries({ reason, plugin, syscall, errno, path, stage, cause, suppressed }).filter(([, value]) => value !== undefined),
  );
}

/** Any thrown value as an `Error`. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(`thrown: ${String(thrown)}`);
}

/**
 * The error for an aborted signal: a `TsboxError` passes; a plain `AbortSignal.timeout` is `DeadlineExceeded`, a plain `abort()` is
 * `Canceled`.
 */
export function abortReason(reason: unknown): TsboxError {
  if (isTsboxError(reason)) return reason;
  if (reason instanceof Error && reason.name === "TimeoutError")
    return fail("DeadlineExceeded", "the deadline has passed", { cause: reason });
  return fail("Canceled", "canceled by the caller", { cause: reason });
}
