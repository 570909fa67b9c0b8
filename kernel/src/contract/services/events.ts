/** The engine's events, as Docker reports them: a bounded history, then live events. */
import type { Call } from "../call.ts";
import type { Sparse, Strings } from "../words.ts";

export interface EngineEvent {
  readonly type: "container" | "image" | "network" | "volume" | "daemon" | "plugin";
  /**
   * Docker's action: create, start, die, kill, stop, destroy, attach, detach, resize, pause, unpause, oom, pull, load, tag, untag, delete,
   * connect, disconnect …
   */
  readonly action: string;
  readonly id: string;
  readonly attributes: Strings;
  readonly at: number;
}

export interface EventsService {
  publish(call: Call, event: Omit<EngineEvent, "at"> & Sparse<{ at: number }>): Promise<void>;
  /** Events from `since` on (as far as the history goes; left out: from now on) until `until` (left out: until the call ends). */
  subscribe(call: Call, options: Sparse<{ since: number; until: number }>): Promise<AsyncIterable<EngineEvent>>;
}

declare module "../plugin.ts" {
  interface Services {
    events: EventsService;
  }
}
