/** Who waits for what of a container: promises that are kept when it happens. */
import type { ContainerId, ExitStatus } from "@tsbox/kernel";

type Condition = "exit" | "removed";

export class Waiters {
  readonly #exits: Map<string, ((status: ExitStatus) => void)[]> = new Map();
  readonly #flushes: Map<string, { promise: Promise<"flushed" | "detached">; resolve(how: "flushed" | "detached"): void }> = new Map();

  /** The next time that it happens. */
  next(id: ContainerId, condition: Condition): Promise<ExitStatus> {
    return new Promise((resolve) => {
      const key = `${id}/${condition}`;
      this.#exits.set(key, [...(this.#exits.get(key) ?? []), resolve]);
    });
  }

  happened(id: ContainerId, condition: Condition, status: ExitStatus): void {
    const key = `${id}/${condition}`;
    const waiting = this.#exits.get(key) ?? [];
    this.#exits.delete(key);
    for (const resolve of waiting) resolve(status);
  }

  /** From now on a client's end of output is remembered, until `flushed` has told it. */
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

  /** It was never attached after all. */
  forgetFlush(id: ContainerId, client: number): void {
    this.#flushes.delete(`${id}/${client}`);
  }

  /** The shim is gone: nothing more will come for anybody. */
  flushAll(id: ContainerId): void {
    for (const [key, flush] of this.#flushes) if (key.startsWith(`${id}/`)) flush.resolve("flushed");
  }
}
