/**
 * Everything that the engine asks of a plugin's code passes here: loading, setup, probes, opening, closing, taps of hooks, and the verbs of
 * its contracts. Each piece of work gets a deadline, and each error gets the plugin's name. The wrapper of a contract is made once, when
 * the contract is opened; a verb through it costs about a microsecond.
 */
import { LazyCall } from "../call.ts";
import type { Call } from "../contract/call.ts";
import { fail, type TsboxError } from "../errors/index.ts";
import { stamped } from "./stamp.ts";

export interface Bound {
  readonly plugin: string;
  /** Milliseconds for the work, if the caller's deadline is later. Infinity: no limit. The streams of an answer may last longer. */
  readonly limit: number;
  /**
   * Milliseconds between the deadline, when the call's signal aborts, and the moment when the caller gets the error without the plugin's
   * answer.
   */
  readonly grace: number;
}
export interface GuardOptions extends Bound {
  /** For error messages: "storage/overlay". */
  readonly offer: string;
}

export const driverLimits: Readonly<Record<string, number>> = {
  storage: 600_000,
  exec: 60_000,
  network: 60_000,
  registry: 600_000,
  volume: 60_000,
  log: 60_000,
};
export const defaultLimit = 600_000;
export const defaultGrace = 5_000;

/** Milliseconds for what the host asks of a plugin beside the verbs of its contracts. */
export interface PluginLimits {
  /** For the plugin's module to run. */
  readonly load: number;
  readonly setup: number;
  readonly probe: number;
  /** How long a list of drivers waits for a probe's first answer. */
  readonly look: number;
  readonly open: number;
  readonly close: number;
  readonly grace: number;
}
export const pluginLimits: PluginLimits = {
  load: 60_000,
  setup: 10_000,
  probe: 10_000,
  look: 1_000,
  open: defaultLimit,
  close: 10_000,
  grace: defaultGrace,
};
/** Milliseconds for one tap of a hook. */
export const hookLimit = 60_000;

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
  const what = `${options.offer} did not answer ${name}`;
  return (call, ...subject) =>
    bounded(
      call,
      what,
      options,
      (inner) => verb.call(target, inner, ...subject),
      (value, inner) => (isStream(value) ? guardStream(value, inner, options) : value),
    );
}

/**
 * Runs one piece of a plugin's work. `late` begins the error of a work that is overdue: "storage/overlay did not answer mounts". `shown`
 * may wrap the answer; a stream goes on with its call.
 */
export function bounded<T>(
  call: Call,
  late: string,
  bound: Bound,
  work: (call: Call) => T | Promise<T>,
  shown: (value: T, call: LazyCall) => T = (value) => value,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const now = Date.now();
    const deadline = Math.min(call.deadline, now + bound.limit);
    const inner = new LazyCall(call.log, deadline, () => call.signal, deadline);
    const timer =
      deadline === Number.POSITIVE_INFINITY
        ? null
        : new Timer(deadline - now, () => {
            const error = overdue(late, deadline - now, bound.plugin);
            inner.abort(error);
            timer?.restart(bound.grace, () => reject(error));
          });
    const broken = (thrown: unknown): void => {
      timer?.stop();
      reject(stamped(thrown, bound.plugin, inner));
      inner.release();
    };
    let answer: T | Promise<T>;
    try {
      answer = work(inner);
    } catch (thrown) {
      broken(thrown);
      return;
    }
    Promise.resolve(answer).then((value) => {
      timer?.stop();
      if (!isStream(value)) inner.release();
      resolve(shown(value, inner));
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

function overdue(late: string, took: number, plugin: string): TsboxError {
  return fail("DeadlineExceeded", `${late} within ${took / 1000} s; try again, or see the log of ${plugin}`, { plugin });
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
