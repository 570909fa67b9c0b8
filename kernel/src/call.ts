/** Makes calls. The signal is made when it is first read: most calls end without anybody looking, and a hot path pays for what it uses only. */
import type { Call, Logger } from "./contract/call.ts";
import type { Sparse } from "./contract/words.ts";
import { abortReason, fail } from "./errors/index.ts";

/** How long a step of clean-up may take. */
const cleanupLimit = 30_000;

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

class LazyCall implements Call {
  readonly log: Logger;
  readonly deadline: number;
  readonly #inherited: (() => AbortSignal | undefined) | undefined;
  readonly #inheritedDeadline: number;
  #signal: AbortSignal | undefined;

  constructor(
    log: Logger,
    deadline: number,
    inherited: (() => AbortSignal | undefined) | undefined,
    inheritedDeadline = Number.POSITIVE_INFINITY,
  ) {
    this.log = log;
    this.deadline = deadline;
    this.#inherited = inherited;
    this.#inheritedDeadline = inheritedDeadline;
  }

  get signal(): AbortSignal {
    this.#signal ??= this.#makeSignal();
    return this.#signal;
  }

  #makeSignal(): AbortSignal {
    const from = this.#inherited?.();
    const ownDeadline = this.deadline < this.#inheritedDeadline;
    if (from === undefined && !ownDeadline) return new AbortController().signal;
    const controller = new AbortController();
    const stop = (): void => {
      if (timer !== undefined) clearTimeout(timer);
      controller.abort(abortReason(from?.reason));
    };
    const timer = ownDeadline
      ? setTimeout(
          () => controller.abort(fail("DeadlineExceeded", "the call's deadline has passed")),
          Math.max(0, this.deadline - Date.now()),
        ).unref()
      : undefined;
    if (from?.aborted) stop();
    else from?.addEventListener("abort", stop, { once: true });
    return controller.signal;
  }
}
