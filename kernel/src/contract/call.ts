/**
 * What every verb of every contract takes first.
 *
 * One shape for everything, so that any contract can be served by a process of its own and be written in any language:
 *  - A *verb* takes a `Call` first and answers a promise. Verbs run at the same time, but never two for one key or id. A member that is no
 *    verb is a constant.
 *  - What crosses is *data*: null, booleans, numbers, strings, `Uint8Array`, arrays and plain objects of these, with *streams*
 *    (`AsyncIterable` of data)
 * anywhere in them. No functions, classes, Dates, Maps. Paths are absolute and hold in every process of the host.
 * (kernel/test/contract-shape.ts holds all contracts to this.)
 *  - A stream is read once, and may be made ahead of its reader. A call lasts until the streams of its answer are read or left; leaving one
 *    aborts the call's signal.
 *  - Records are complete: what is not there is `null` (but OCI's own JSON keeps OCI's way). Options are sparse: what is not asked for is
 *    left out or `undefined`.
 *  - A verb never ignores an option: what it can't do is `Unsupported`. Asked again after a crash it says so (`AlreadyExists`, `NotFound`)
 *    and never acts twice.
 * Times are milliseconds since the epoch (fractions count), sizes bytes.
 *
 * Vocabulary: OCI runtime and image specs; containerd for snapshots; Docker for what a user sees.
 */

export interface Call {
  /**
   * Aborts when the caller cancels and when the deadline has come; its reason is the error to throw, so `signal.throwIfAborted()` is all a
   * driver needs. A canceled call answers when its work has stopped.
   */
  readonly signal: AbortSignal;
  /** `Infinity`: none. For passing on; `signal` already heeds it. */
  readonly deadline: number;
  readonly log: Logger;
}

/** One line of text, and fields for whoever filters; fields are data. */
export type Logger = Readonly<Record<LogLevel, (text: string, fields?: Readonly<Record<string, unknown>>) => void>>;
export type LogLevel = "debug" | "info" | "warn" | "error";
