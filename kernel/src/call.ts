/**
 * Creates calls. A call's abort signal is created when it is first read: most calls end without anybody reading it, and the hot path should
 * not pay for it.
 */
import type { Call, Logger } from "./contract/call.ts";
import type { Sparse } from "./contract/words.ts";
import { abortReason, fail, type TsboxError } from "./errors/index.ts";

/** Milliseconds that one cleanup step may take. */
const cleanupLimit = 30_000;
/** The largest delay that setTimeout accepts. */
const longest = 2 ** 31 - 1;

export type CallOptions = Sparse<{
  signal: AbortSignal;
  /** Milliseconds from now. */
  timeout: number;
}>;

export function createCall(log: Logger, options: CallOptions = {}): Call {
  const { signal } = options;
  if (options.timeout === undefined)
    return new PlainCall(log, Number.POSITIVE_INFINITY, () => (signal === undefined ? new AbortController().signal : inWords(signal)));
  return new LazyCall(log, Date.now() + options.timeout, signal === undefined ? undefined : () => inWords(signal));
}

/** The same call with less time, another log, or a further reason to stop. Without changes it is `call` itself. */
export function deriveCall(call: Call, options: CallOptions & Sparse<{ log: Logger }>): Call {
  const deadline = Math.min(call.deadline, options.timeout === undefined ? Number.POSITIVE_INFINITY : Date.now() + options.timeout);
  const extra = options.signal;
  const inherited = extra === undefined ? () => call.signal : () => AbortSignal.any([call.signal, inWords(extra)]);
  const log = options.log ?? call.log;
  return deadline === call.deadline ? new PlainCall(log, deadline, inherited) : new LazyCall(log, deadline, inherited, call.deadline);
}

/** Creates the call for cleanup after `call`. It is not canceled when `call` is, and it has a deadline of 30 seconds. */
export function cleanupCall(call: Call): Call {
  return createCall(call.log, { timeout: cleanupLimit });
}

/** A logger that drops everything: for tests, and for probes whose answer is enough. */
export const silentLog: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/** A call without a deadline of its own: it passes on the inherited signal and holds no timer or listener, so it needs no release. */
class PlainCall implements Call {
  readonly log: Logger;
  readonly deadline: number;
  readonly #inherited: () => AbortSignal;
  #signal: AbortSignal | undefined;

  constructor(log: Logger, deadline: number, inherited: () => AbortSignal) {
    this.log = log;
    this.deadline = deadline;
    this.#inherited = inherited;
  }

  get signal(): AbortSignal {
    this.#signal ??= this.#inherited();
    return this.#signal;
  }
}

const worded: WeakMap<AbortSignal, AbortSignal> = new WeakMap();

/** The same signal, with a reason that is a `TsboxError`. Each signal has one such copy, so that many calls add only one listener to it. */
function inWords(signal: AbortSignal): AbortSignal {
  const known = worded.get(signal);
  if (known !== undefined) return known;
  const controller = new AbortController();
  const abort = (): void => controller.abort(abortReason(signal.reason));
  if (signal.aborted) abort();
  else signal.addEventListener("abort", abort, { once: true });
  worded.set(signal, controller.signal);
  return controller.signal;
}

/** All followers of a signal share one listener on it: addEventListener compares each new listener with all existing ones. */
const followers: WeakMap<AbortSignal, Set<() => void>> = new WeakMap();

/** Calls `react` when the signal aborts, unless the returned function was called before. */
function follow(signal: AbortSignal, react: () => void): () => void {
  let all = followers.get(signal);
  if (all === undefined) {
    const fresh = new Set<() => void>();
    signal.addEventListener("abort", () => [...fresh].forEach((one) => void one()), { once: true });
    followers.set(signal, fresh);
    all = fresh;
  }
  const each = all;
  each.add(react);
  return () => void each.delete(react);
}

/** A call with a deadline or an `abort` of its own. `release` removes its timer and its listener on the caller's signal. */
export class LazyCall implements Call {
  readonly log: Logger;
  readonly deadline: number;
  readonly #inherited: (() => AbortSignal | undefined) | undefined;
  readonly #inheritedDeadline: number;
  #controller: AbortController | undefined;
  #release: (() => void) | undefined;

  constructor(
    log: Logger,
    deadline: number,
    inherited: (() => AbortSignal | undefined) | undefined,
    inheritedDeadline: number = Number.POSITIVE_INFINITY,
  ) {
    this.log = log;
    this.deadline = deadline;
    this.#inherited = inherited;
    this.#inheritedDeadline = inheritedDeadline;
  }

  get signal(): AbortSignal {
    this.#controller ??= this.#connect();
    return this.#controller.signal;
  }

  abort(reason: TsboxError): void {
    this.#controller ??= new AbortController();
    this.#controller.abort(reason);
    this.release();
  }

  release(): void {
    this.#release?.();
    this.#release = undefined;
  }

  #connect(): AbortController {
    const controller = new AbortController();
    const from = this.#inherited?.();
    if (from?.aborted) {
      controller.abort(abortReason(from.reason));
      return controller;
    }
    const unfollow = from === undefined ? undefined : follow(from, () => this.abort(abortReason(from.reason)));
    const timer =
      this.deadline < this.#inheritedDeadline
        ? setTimeout(
            () => this.abort(fail("DeadlineExceeded", "the call's deadline has passed")),
            Math.min(longest, Math.max(0, this.deadline - Date.now())),
          )
        : undefined;
    timer?.unref();
    this.#release = () => {
      clearTimeout(timer);
      unfollow?.();
    };
    return controller;
  }
}
