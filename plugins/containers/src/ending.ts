/** How a running container is brought to its end: by a signal and patience, and why it may be without a user. */
import { type Call, type Container, type ContainerId, signalNumber } from "@tsbox/kernel";
import { attributes } from "./create.ts";
import type { Engine } from "./engine.ts";

/** The signal, then SIGKILL after so many seconds (below 0: never). Answers when it has ended. */
export async function endGently(engine: Engine, call: Call, record: Container, signal: number, seconds: number): Promise<void> {
  const { id } = record;
  const exit = engine.waiters.next(id, "exit");
  // Told first: its end may be quicker than the answer.
  await tellKill(engine, call, record, signal);
  await engine.launcher.signal(call, id, signal);
  if (record.status === "paused") await engine.launcher.resume(call, id);
  if (await within(exit, seconds)) return;
  await tellKill(engine, call, record, 9);
  await engine.launcher.signal(call, id, 9).catch(ended);
  await exit;
}

/** It has ended by itself meanwhile. */
function ended(): void {}

export function tellKill(engine: Engine, call: Call, record: Container, signal: number): Promise<void> {
  const { id } = record;
  return engine.events.publish(call, {
    type: "container",
    action: "kill",
    id,
    attributes: { ...attributes(record), signal: String(signal) },
  });
}

/** True when it happened within so many seconds; below 0: however long it takes. */
async function within(happening: Promise<unknown>, seconds: number): Promise<boolean> {
  if (seconds < 0) return happening.then(() => true);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, seconds * 1000, false);
  });
  try {
    return await Promise.race([happening.then(() => true as const), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** What its user wants when it turns unhealthy. */
export async function endUnhealthy(engine: Engine, id: ContainerId): Promise<void> {
  if (!engine.records.has(id)) return;
  const record = engine.records.byId(id);
  if (record.status !== "running") return;
  const call = engine.call();
  const { onUnhealthy, stopSignal, stopTimeout } = record.config;
  if (onUnhealthy === "kill") {
    await tellKill(engine, call, record, 9);
    await engine.launcher.signal(call, id, 9);
    return;
  }
  const restart = onUnhealthy === "restart" ? { ...record.restart, wanted: true } : { ...record.restart, stopped: true };
  await endGently(engine, call, engine.records.note({ ...record, restart }), signalNumber(stopSignal), stopTimeout);
  if (onUnhealthy === "stop") await engine.events.publish(call, { type: "container", action: "stop", id, attributes: attributes(record) });
}
