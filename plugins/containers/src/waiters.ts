/** Promises for calls that wait for an event of a container. */
import { abortReason, type ContainerId, type ExitStatus } from "@tsbox/kernel";

type Condition = "exit" | "removed";

export interface Waiting {
  readonly promise: Promise<ExitStatus>;
  /** Stops waiting. */
  leave(): void;
}

export class Waiters {
  readonly #waiting: Map<string, Set<(status: ExitStatus) => void>> = new Map();
  readonly #flushes: Map<string, { promise: Promise<"flushed" | "detached">; resolve(how: "flushed" | "detached"): void }> = new Map();

  /** Waits for the next occurrence; fails when `signal` aborts. */
  next(id: ContainerId, condition: Condition, signal?: AbortSignal): Promise<ExitStatus> {
    return this.until(this.expect(id, condition), signal);
  }

  async until({ promise, leave }: Waiting, signal: AbortSignal | undefined): Promise<ExitStatus> {
    if (signal === undefined) return promise;
    let abort: () => void = () => {};
    const aborted = new Promise<never>((_, reject) => {
      abort = () => reject(abortReason(signal.reason));
      if (signal.aborted) abort();
      else signal.addEventListener("abort", abort, { once: true });
    });
    try {
      return await Promise.race([promise, aborted]);
    } finally {
      signal.removeEventListener("abort", abort);
      leave();
    }
  }

  /** How many calls wait. */
  get size(): number {
    return [...this.#waiting.values()].reduce((sum, { size }) => sum + size, 0);
  }

  /** Resolves once, at the next occurrence from now on, unless `leave` is called before. */
  expect(id: ContainerId, condition: Condition): Waiting {
    const key = `${id}/${condition}`;
    const { promise, resolve } = Promise.withResolvers<ExitStatus>();
    const waiting = this.#waiting.get(key) ?? new Set();
    this.#waiting.set(key, waiting.add(resolve));
    return {
      promise,
      leave: () => {
        waiting.delete(resolve);
        if (waiting.size === 0 && this.#waiting.get(key) === waiting) this.#waiting.delete(key);
      },
    };
  }

  happened(id: ContainerId, condition: Condition, status: ExitStatus): void {
    const key = `${id}/${condition}`;
    const waiting = this.#waiting.get(key) ?? [];
    this.#waiting.delete(key);
    for (const resolve of waiting) resolve(status);
  }

  /** From now on the end of a client's output is remembered until `flushed` has returned it. */
  expectFlush(id: ContainerId, client: number): void {
    const { promise, resolve } = Promise.withResolvers<"flushed" | "detached">();
    this.#flushes.set(`${id}/${client}`, { promise, resolve });
  }

  async flushed(id: ContainerId, client: number): Promise<"flushed" | "detached"> {
    const key = `${id}/${client}`;
    try {
      return (await this.#flushes.get(key)?.promise) ?? "flushed";
    } finally {
      this.#flushes.delete(key);
    }
  }

  flush(id: ContainerId, client: number, how: "flushed" | "detached"): void {
    this.#flushes.get(`${id}/${client}`)?.resolve(how);
  }

  /** The client was not attached after all. */
  forgetFlush(id: ContainerId, client: number): void {
    this.#flushes.delete(`${id}/${client}`);
  }

  /** The shim is gone: no client gets any more output. */
  flushAll(id: ContainerId): void {
    for (const [key, flush] of this.#flushes) if (key.startsWith(`${id}/`)) flush.resolve("flushed");
  }
}
