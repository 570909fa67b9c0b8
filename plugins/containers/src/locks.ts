/** One lock per container: decisions about it and changes of it run one after another. */
import { fail } from "@tsbox/kernel";

/** How long a request waits for the lock, in milliseconds. */
const lockTimeout = 120_000;

interface Waiter {
  readonly enter: () => void;
}

/**
 * A fair queue: requests get the lock in the order in which they asked. The lock is released however the work ends. A request that waits
 * too long fails, and the next one takes its place.
 */
export class Locks {
  readonly #queues: Map<string, Waiter[]> = new Map();

  /**
   * Runs `work` under the lock. `Unavailable`: the lock was not free within `timeout` milliseconds. The work must not wait for the
   * container's end, which needs the lock.
   */
  async run<T>(id: string, work: () => Promise<T>, timeout: number = lockTimeout): Promise<T> {
    const queue = this.#queues.get(id);
    if (queue === undefined) this.#queues.set(id, []);
    else await this.#turn(id, queue, timeout);
    try {
      return await work();
    } finally {
      this.#release(id);
    }
  }

  isHeld(id: string): boolean {
    return this.#queues.has(id);
  }

  #turn(id: string, queue: Waiter[], timeout: number): Promise<void> {
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      const waiter: Waiter = {
        enter: () => {
          clearTimeout(timer);
          resolve();
        },
      };
      queue.push(waiter);
      if (timeout === Number.POSITIVE_INFINITY) return;
      timer = setTimeout(() => {
        queue.splice(queue.indexOf(waiter), 1);
        reject(fail("Unavailable", `container ${id.slice(0, 12)} is busy with another request: try again, or remove it with rm -f`));
      }, timeout);
    });
  }

  #release(id: string): void {
    const next = this.#queues.get(id)?.shift();
    if (next === undefined) this.#queues.delete(id);
    else next.enter();
  }
}
