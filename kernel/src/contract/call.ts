/**
 * The call: the first argument of every verb of every contract.
 *
 * All contracts have one shape, so that any of them can be served by another process and be written in any language:
 * - A *verb* takes a `Call` first and answers a promise. Verbs run concurrently, but never two for one key or id. A member that is not a
 *   verb is a constant.
 * - Arguments and answers are *data*: null, booleans, numbers, strings, `Uint8Array`, arrays and plain objects of these, with *streams*
 *   (`AsyncIterable` of data) anywhere in them. No functions, classes, Dates, Maps. Paths are absolute and hold in every process of the
 *   host. (kernel/test/contract-shape.ts checks all contracts.)
 * - A stream is read once, and may be produced ahead of its reader. A call lasts until the streams of its answer are read or abandoned;
 *   abandoning one aborts the call's signal.
 * - Records are complete: a missing value is `null` (but OCI's own JSON keeps OCI's rules). Options are sparse: an option that is not given
 *   is left out or `undefined`.
 * - A verb never ignores an option: one that it can't carry out is `Unsupported`. A verb that is repeated after a crash answers
 *   `AlreadyExists` or `NotFound`, and never acts twice.
 * Times are milliseconds since the epoch (fractions count), sizes are bytes.
 *
 * The vocabulary is that of the OCI runtime and image specs, of containerd for snapshots, and of Docker for what users see.
 */

export interface Call {
  /**
   * Aborts when the caller cancels and when the deadline passes. Its reason is the error to throw, so a driver only needs
   * `signal.throwIfAborted()`. A canceled call answers when its work has stopped.
   */
  readonly signal: AbortSignal;
  /** `Infinity`: no deadline. It is for passing on; `signal` already aborts at the deadline. */
  readonly deadline: number;
  readonly log: Logger;
}

/** One line of text, and fields for filters; the fields are data. */
export type Logger = Readonly<Record<LogLevel, (text: string, fields?: Readonly<Record<string, unknown>>) => void>>;
export type LogLevel = "debug" | "info" | "warn" | "error";
