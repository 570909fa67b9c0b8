/** Makes calls. The signal is made when it is first read: most calls end without anybody looking, and a hot path pays for what it uses only. */
import type { Call, Logger } from "./contract/call.ts";
import type { Sparse } from "./contract/words.ts";
import { abortReason, fail, type TsboxError } from "./errors/index.ts";

/** How long a step of clean-up may take. */
const cleanupLimit = 30_000;
/** setTimeout takes no more. */
const longest = 2 ** 31 - 1;

export type CallOptions = Sparse<{
  signal: AbortSignal;
  /** Milliseconds from now. */
  timeout: number;
}>;

export function createCall(log: Logger, options: CallOptions = {}): Call {
  const deadline = options.timeout === undefined ? Number.POSITIVE_INFINITY : Date.now() + options.timeout;
  return new LazyCall(log, deadline, options.signal === undefined ? undefined : () => options.signal);
}

/** The same call with less time, another log, or a further reason to stop. Without changes it is `call` itself. */
export function deriveCall(call: Call, options: CallOptions & Sparse<{ log: Logger }>): Call {
  const deadline = Math.min(call.deadline, options.timeout === undefined ? Number.POSITIVE_INFINITY : Date.now() + options.timeout);
  const extra = options.signal;
  const inherited = extra === undefined ? () => call.signal : () => AbortSignal.any([call.signal, extra]);
  return new LazyCall(options.log ?? call.log, deadline, inherited, call.deadline);
}

/** For cleaning up after `call`, which may have been canceled: not canceled with it, 30 seconds long. */
export function cleanupCall(call: Call): Call {
  return createCall(call.log, { timeout: cleanupLimit });
}

/** A logger that drops everything: for tests, and for probes whose answer says it all. */
export const silentLog: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/** A call that ends: what it holds of its caller's signal is let go with `release`. */
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
    const onAbort = (): void => this.abort(abortReason(from?.reason));
    from?.addEventListener("abort", onAbort, { once: true });
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
      from?.removeEventListener("abort", onAbort);
    };
    return controller;
  }
}
