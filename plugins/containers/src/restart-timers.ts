/** The timers of containers that are `restarting`. */
import type { Container, ContainerId } from "@tsbox/kernel";
import { longestTimer } from "./timers.ts";

/** Pending restarts. Each verb has Docker's error message for what is refused meanwhile. */
export class Restarts {
  readonly #timers: Map<ContainerId, NodeJS.Timeout> = new Map();
  #again: ((id: ContainerId) => void) | null = null;

  /**
   * From now on passes containers to `again` when their delay is over; `again` starts them if they are still `restarting`. Containers that
   * ended earlier are in `records`.
   */
  open(again: (id: ContainerId) => void, records: readonly Container[]): void {
    this.#again = again;
    for (const record of records) this.schedule(record);
  }

  schedule(record: Container): void {
    const again = this.#again;
    this.cancel(record.id);
    if (again === null || record.status !== "restarting") return;
    const wait = Math.min(longestTimer, Math.max(0, (record.restart.at ?? 0) - Date.now()));
    this.#timers.set(
      record.id,
      setTimeout(() => {
        this.#timers.delete(record.id);
        again(record.id);
      }, wait),
    );
  }

  cancel(id: ContainerId): void {
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
  }

  close(): void {
    this.#again = null;
    for (const id of [...this.#timers.keys()]) this.cancel(id);
  }
}
