/** The service `events`: what happens in the engine, the last of it kept, the rest as it comes. */
import type { EngineEvent, EventsService, Plugin, PluginContext } from "@tsbox/kernel";

/** As many as Docker keeps. */
const kept = 256;

const plugin: Plugin<null> = {
  parseConfig: () => null,
  setup(context: PluginContext<null>): void {
    context.provideService("events", { open: () => Promise.resolve(eventsService()) });
  },
};
export default plugin;

export function eventsService(): EventsService {
  const history: EngineEvent[] = [];
  const live = new Set<(event: EngineEvent) => void>();
  return {
    publish: (_call, { at = Date.now(), ...event }) => {
      const whole: EngineEvent = { ...event, at };
      history.push(whole);
      if (history.length > kept) history.shift();
      for (const tell of live) tell(whole);
      return Promise.resolve();
    },
    subscribe: (call, { since, until }) => {
      const past = since === undefined ? [] : history.filter((event) => event.at >= since && (until === undefined || event.at <= until));
      return Promise.resolve(follow(past, live, call.signal, until));
    },
  };
}

/** History first, then what comes until `until` or the end of the call. It listens from the moment it is made, so nothing falls between the two. */
function follow(
  past: readonly EngineEvent[],
  live: Set<(event: EngineEvent) => void>,
  signal: AbortSignal,
  until: number | undefined,
): AsyncIterable<EngineEvent> {
  const waiting: EngineEvent[] = [...past];
  let wake: () => void = () => {};
  const tell = (event: EngineEvent): void => {
    waiting.push(event);
    wake();
  };
  live.add(tell);
  const stop = AbortSignal.any([
    signal,
    ...(until === undefined ? [] : [AbortSignal.timeout(Math.max(0, Math.min(until - Date.now(), 2 ** 31 - 1)))]),
  ]);
  stop.addEventListener("abort", () => wake(), { once: true });
  async function* stream(): AsyncGenerator<EngineEvent> {
    try {
      for (;;) {
        yield* waiting.splice(0);
        if (stop.aborted) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    } finally {
      live.delete(tell);
    }
  }
  return stream();
}
