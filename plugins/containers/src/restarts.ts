/**
 * Restart policies. When a first process ends, its policy says whether it comes back, and after how long; until then the container is
 * `restarting`, and what it waits for is in its record on tmpfs, so that the next daemon goes on with it. After a restart of the host tmpfs
 * is empty, and the durable record says who has to run again.
 */
import type { Call, Container, ExitStatus } from "@tsbox/kernel";
import type { Engine, Journal } from "./engine.ts";
import { afterEnd } from "./restart-policy.ts";

/**
 * A start that was to bring it back has failed, and nothing of it is left. It counts as an end: what it lacks (another container's network,
 * a port, a directory) may come, so the policy goes on with it. Docker gives up here, and after a restart of the host the order of starts
 * decides who runs.
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
  if (next.status !== "restarting") await giveUp(engine, call, next, false);
  else engine.restarts.schedule(engine.records.note(next));
}

/** Under the container's lock: it does not come back. Answers the record as it is now. */
export async function giveUp(
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
