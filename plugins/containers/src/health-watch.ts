/** The timers and running probes of containers whose health is watched. */
import { type ContainerId, fail } from "@tsbox/kernel";
import { longestTimer } from "./timers.ts";

export class HealthWatch {
  readonly #timers: Map<ContainerId, NodeJS.Timeout> = new Map();
  readonly #probes: Map<ContainerId, AbortController> = new Map();
  #closed = false;

  next(id: ContainerId, milliseconds: number, probe: () => void): void {
    clearTimeout(this.#timers.get(id));
    if (!this.#closed) this.#timers.set(id, setTimeout(probe, Math.min(longestTimer, milliseconds)).unref());
  }

  /** Begins a probe. `stop` aborts it. */
  begin(id: ContainerId): AbortController {
    const controller = new AbortController();
    this.#probes.set(id, controller);
    return controller;
  }

  finish(id: ContainerId, probe: AbortController): void {
    if (this.#probes.get(id) === probe) this.#probes.delete(id);
  }

  stop(id: ContainerId): void {
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
    this.#probes.get(id)?.abort(fail("Canceled", "the container's health is not watched any more"));
    this.#probes.delete(id);
  }

  close(): void {
    this.#closed = true;
    for (const id of new Set([...this.#timers.keys(), ...this.#probes.keys()])) this.stop(id);
  }
}
