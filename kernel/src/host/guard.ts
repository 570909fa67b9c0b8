/**
 * Wraps a plugin's contract for its callers: each verb gets a deadline, each error gets the plugin's name, and a stream that its reader
 * abandons stops the work behind it. The wrapper is made once, when the contract is opened; a verb through it costs about a microsecond.
 */
import { LazyCall } from "../call.ts";
import type { Call } from "../contract/call.ts";
import { fail, type TsboxError } from "../errors/index.ts";
import { stamped } from "./stamp.ts";

export interface GuardOptions {
  /** For error messages: "storage/overlay". */
  readonly offer: string;
  readonly plugin: string;
  /** Milliseconds for one verb, if the caller's deadline is later. Infinity: no limit. The streams of an answer may last longer. */
  readonly limit: number;
  /**
   * Milliseconds between the deadline, when the call's signal aborts, and the moment when the caller gets the error without the plugin's
   * answer.
   */
  readonly grace: number;
}

export const driverLimits: Readonly<Record<string, number>> = {
  storage: 600_000,
  exec: 60_000,
  network: 60_000,
  registry: 600_000,
  volume: 60_000,
  log: Number.POSITIVE_INFINITY,
};
export const defaultLimit = 600_000;
export const defaultGrace = 5_000;

/** The largest delay that setTimeout accepts. */
const longest = 2 ** 31 - 1;

type Verb = (call: Call, ...subject: readonly unknown[]) => unknown;

/** `opened` with every verb guarded. Properties that are not functions are read from the original each time. */
export function guard<T>(opened: T, options: GuardOptions): T {
  if (typeof opened !== "object" || opened === null) {
    throw fail("Internal", `${options.plugin} opened ${options.offer} as ${String(opened)} instead of an object`, {
      plugin: options.plugin,
    });
  }
  const guarded: object = {};
  for (const name of memberNames(opened)) {
    const member: unknown = Reflect.get(opened, name);
    const descriptor: PropertyDescriptor =
      typeof member === "function"
        ? { value: guardVerb(opened, name, member as Verb, options), enumerable: true }
        : { get: () => Reflect.get(opened, name), enumerable: true };
    Object.defineProperty(guarded, name, descriptor);
  }
  return guarded as T;
}

function guardVerb(target: object, name: string, verb: Verb, options: GuardOptions): Verb {
  return (call, ...subject) =>
    new Promise((resolve, reject) => {
      const now = Date.now();
      const deadline = Math.min(call.deadline, now + options.limit);
      const inner = new LazyCall(call.log, deadline, () => call.signal, deadline);
      const timer =
        deadline === Number.POSITIVE_INFINITY
          ? null
          : new Timer(deadline - now, () => {
              const error = overdue(name, deadline - now, options);
              inner.abort(error);
              timer?.restart(options.grace, () => reject(error));
            });
      const broken = (thrown: unknown): void => {
        timer?.stop();
        reject(stamped(thrown, options.plugin, inner));
        inner.release();
      };
      let answer: unknown;
      try {
        answer = verb.call(target, inner, ...subject);
      } catch (thrown) {
        broken(thrown);
        return;
      }
      Promise.resolve(answer).then((value) => {
        timer?.stop();
        if (isStream(value)) return resolve(guardStream(value, inner, options));
        inner.release();
        resolve(value);
      }, broken);
    });
}

class Timer {
  #timer: NodeJS.Timeout;
  constructor(milliseconds: number, then: () => void) {
    this.#timer = setTimeout(then, Math.min(longest, Math.max(0, milliseconds)));
  }
  restart(milliseconds: number, then: () => void): void {
    this.#timer = setTimeout(then, milliseconds);
  }
  stop(): void {
    clearTimeout(this.#timer);
  }
}

function overdue(verb: string, took: number, options: GuardOptions): TsboxError {
  return fail(
    "DeadlineExceeded",
    `${options.offer} did not answer ${verb} within ${took / 1000} s; try again, or see the log of ${options.plugin}`,
    {
      plugin: options.plugin,
    },
  );
}

/**
 * The call lasts until its stream is read to the end or abandoned. Abandoning it aborts the call's signal; otherwise the producer would
 * hang.
 */
async function* guardStream(
  stream: AsyncIterable<unknown>,
  call: LazyCall,
  options: GuardOptions,
): AsyncGenerator<unknown, void, undefined> {
  let ended = false;
  try {
    yield* stream;
    ended = true;
  } catch (thrown) {
    ended = true;
    throw stamped(thrown, options.plugin, call);
  } finally {
    if (!ended) call.abort(fail("Canceled", "the reader has left the stream"));
    call.release();
  }
}

function isStream(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}

/** The names of the object's own members and of its classes' members, except the constructor. */
function memberNames(target: object): readonly string[] {
  const found = new Set<string>();
  for (let each: object | null = target; each !== null && each !== Object.prototype; each = Object.getPrototypeOf(each)) {
    for (const name of Object.getOwnPropertyNames(each)) if (name !== "constructor") found.add(name);
  }
  return [...found];
}
