/** The service `events`: what happens in the engine, the last of it kept, the rest as it comes. */
import { type EngineEvent, type EventsService, fail, noSettings, type Plugin, type PluginContext } from "@tsbox/kernel";

/** As many as Docker keeps. */
const kept = 256;
/** Of one reader, who may not read. */
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
      for (const tell of live) tell(whole);
      return Promise.resolve();
    },
    subscribe: async (call, { since, until }) => {
      call.signal.throwIfAborted();
      // As Docker: whoever asks for an end alone is told what was before it, too.
      const asked = since !== undefined || until !== undefined;
      const past = asked ? history.filter(({ at }) => at >= (since ?? 0) && at <= (until ?? Number.POSITIVE_INFINITY)) : [];
      return until !== undefined && until <= Date.now() ? ended(past) : follow(past, live, call.signal, until);
    },
  };
}

async function* ended(past: readonly EngineEvent[]): AsyncGenerator<EngineEvent> {
  yield* past;
}

/**
 * History first, then what comes until `until` or the end of the call. It listens from the moment it is made, so nothing falls between the
 * two.
 */
function follow(
  past: readonly EngineEvent[],
  live: Set<(event: EngineEvent) => void>,
  signal: AbortSignal,
  until: number | undefined,
): AsyncIterable<EngineEvent> {
  const waiting: EngineEvent[] = [...past];
  let wake: () => void = () => {};
  let lost = false;
  const leave = (): void => void live.delete(tell);
  const tell = (event: EngineEvent): void => {
    if (waiting.length < longestQueue) waiting.push(event);
    else {
      lost = true;
      leave();
    }
    wake();
  };
  live.add(tell);
  const stop = AbortSignal.any([
    signal,
    ...(until === undefined ? [] : [AbortSignal.timeout(Math.max(0, Math.min(until - Date.now(), 2 ** 31 - 1)))]),
  ]);
  // A stream that nobody begins to read is left by its call alone.
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
