/** A registry must begin its answer in time, however it delays that: by silence, a header byte a second, redirects, or a slow token. */
import { type Call, fail } from "@tsbox/kernel";

/** Milliseconds for one question: with the token that it needs, its redirects, and the HEAD before a GET. */
export const answerTimeout = 60_000;

export class AnswerDeadline {
  readonly #milliseconds: number;
  readonly #end: number;

  constructor(milliseconds: number = answerTimeout) {
    this.#milliseconds = milliseconds;
    this.#end = performance.now() + milliseconds;
  }

  /**
   * Runs `work` with a call that is canceled at the deadline. Once `work` has returned, only `call` cancels it: what it returned has a
   * body that may be read for longer. `Unavailable`: the time is over.
   */
  async run<T>(call: Call, host: string, work: (call: Call) => Promise<T>): Promise<T> {
    const late = new AbortController();
    const expire = (): void =>
      late.abort(fail("Unavailable", `${host} gave no answer within ${this.#milliseconds / 1000} s: try again later`));
    const left = this.#end - performance.now();
    if (left <= 0) expire();
    late.signal.throwIfAborted();
    const timer = setTimeout(expire, left);
    try {
      return await work({ signal: AbortSignal.any([call.signal, late.signal]), deadline: call.deadline, log: call.log });
    } finally {
      clearTimeout(timer);
    }
  }
}
