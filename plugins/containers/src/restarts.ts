/**
 * Restart policies. When a first process ends, the policy decides whether it is restarted, and after what delay. Until then the container
 * is `restarting`. The delay is in its record on tmpfs, so that the next daemon continues it. After a restart of the host tmpfs is empty,
 * and the durable records say which containers to start.
 */
import type { Call, Container, ExitStatus } from "@tsbox/kernel";
import type { Engine, Journal } from "./engine.ts";
import { afterEnd } from "./restart-policy.ts";

/**
 * Handles a failed restart, of which nothing is left. It counts as an end: what the start lacks (another container's network, a port, a
 * directory) may appear later, so the policy continues. Docker gives up here, so after a restart of the host the order of starts decides
 * which containers run.
 */
export async function failedRestart(
  engine: Journal & Pick<Engine, "restarts">,
  call: Call,
  record: Container,
  why: unknown,
): Promise<void> {
  const error = why instanceof Error ? why.message : String(why);
  const exit: ExitStatus = { code: 128, signal: null, outOfMemory: false, at: Date.now() };
  const next = { ...record, ...afterEnd({ ...record, startedAt: null }, exit, exit.at), exit, error };
  if (next.status !== "restarting") await cancelRestart(engine, call, next, false);
  else engine.restarts.schedule(engine.records.note(next));
}

/** Gives up the pending restart. The caller holds the container's lock. Returns the current record. */
export async function cancelRestart(
  engine: Journal & Pick<Engine, "restarts">,
  call: Call,
  record: Container,
  stopped: boolean,
): Promise<Container> {
  engine.restarts.cancel(record.id);
  const left = await engine.records.save(call, {
    ...record,
    status: "exited",
    restart: { stopped: record.restart.stopped || stopped, backoff: 0, wanted: false, at: null },
  });
  if (left.exit !== null) engine.waiters.happened(left.id, "exit", left.exit);
  return left;
}
