/** The service `events`: publishes the engine's events, and keeps the last ones. */
import { type EngineEvent, type EventsService, fail, noSettings, type Plugin, type PluginContext } from "@tsbox/kernel";

/** How many events are kept: Docker's number. */
const kept = 256;
/** The most events that wait for one reader, which may not read. */
const longestQueue = 10_000;

const plugin: Plugin<null> = {
  parseConfig: noSettings,
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
      for (const deliver of live) deliver(whole);
      return Promise.resolve();
    },
    subscribe: async (call, { since, until }) => {
      call.signal.throwIfAborted();
      // As in Docker, a request with only an end also gets earlier events.
      const asked = since !== undefined || until !== undefined;
      const past = asked ? history.filter(({ at }) => at >= (since ?? 0) && at <= (until ?? Number.POSITIVE_INFINITY)) : [];
      return until !== undefined && until <= Date.now() ? ended(past) : follow(past, live, call.signal, until);
    },
  };
}

async function* ended(past: readonly EngineEvent[]): AsyncGenerator<EngineEvent> {
  yield* past;
}

/** History first, then new events until `until` or the end of the call. It subscribes at once, so no event between the two is missed. */
function follow(
  past: readonly EngineEvent[],
  live: Set<(event: EngineEvent) => void>,
  signal: AbortSignal,
  until: number | undefined,
): AsyncIterable<EngineEvent> {
  const waiting: EngineEvent[] = [...past];
  let wake: () => void = () => {};
  let lost = false;
  const leave = (): void => void live.delete(deliver);
  const deliver = (event: EngineEvent): void => {
    if (waiting.length < longestQueue) waiting.push(event);
    else {
      lost = true;
      leave();
    }
    wake();
  };
  live.add(deliver);
  const stop = AbortSignal.any([
    signal,
    ...(until === undefined ? [] : [AbortSignal.timeout(Math.max(0, Math.min(until - Date.now(), 2 ** 31 - 1)))]),
  ]);
  // A stream that is never read is unsubscribed only by the end of its call.
  const stopped = (): void => {
    leave();
    wake();
  };
  if (stop.aborted) stopped();
  else stop.addEventListener("abort", stopped, { once: true });
  async function* stream(): AsyncGenerator<EngineEvent> {
    try {
      for (;;) {
        yield* waiting.splice(0);
        if (stop.aborted) return;
        if (lost)
          throw fail("ResourceExhausted", `events were lost: ${longestQueue} of them waited to be read; read faster, or filter them`);
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    } finally {
      leave();
      stop.removeEventListener("abort", stopped);
    }
  }
  return stream();
}
