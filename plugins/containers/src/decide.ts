/**
 * Decisions about a container. They are taken under its lock, from its record at that time. The record lags behind the kernel: a request
 * may fail because the first process has just died. Then the end is awaited outside the lock, which the end itself needs, and the request
 * is decided again.
 */
import { type Container, type ContainerId, fail, isTsboxError } from "@tsbox/kernel";
import { isAlive } from "./alive.ts";
import type { Engine, Journal, Turns } from "./engine.ts";
import { refuseRestarting } from "./restart-policy.ts";
import { longestTimer } from "./timers.ts";
import type { Waiting } from "./waiters.ts";

/** How long an end may take in milliseconds: after SIGKILL, and from the process's death to the record of it. Docker's value. */
export const endTimeout = 10_000;
/** How long `kill`, `stop` and `rm -f` wait at least for a start that holds the lock before they cancel it, in milliseconds. */
const startTimeout = 10_000;
/**
 * How long they wait for any other holder before they proceed without the lock, in milliseconds. Such a holder waits for a shim that does
 * not answer, or for a slow disk.
 */
const holderTimeout = 500;

export const runs = ({ status }: Pick<Container, "status">): boolean => status === "running" || status === "paused";

export function refuseIdle(record: Container): void {
  refuseRestarting(record);
  if (!runs(record)) throw fail("FailedPrecondition", `container ${record.id} is not running`, { reason: "containers/not-running" });
}

export const isNotRunning = (error: unknown): boolean => isTsboxError(error) && error.reason === "containers/not-running";

/** Does `work` under the container's lock. */
export async function decide<T>(
  engine: Journal & Pick<Engine, "locks">,
  id: ContainerId,
  work: (record: Container) => Promise<T>,
): Promise<T> {
  const deadline = Date.now() + endTimeout;
  for (;;) {
    let end: Waiting | undefined;
    try {
      return await engine.locks.run(id, async () => {
        const record = engine.records.byId(id);
        try {
          return await work(record);
        } catch (error) {
          // Registered before the lock is released: the end is reported only once.
          if (isEnding(engine, record, error)) end = engine.waiters.expect(id, "exit");
          throw error;
        }
      });
    } catch (error) {
      if (end === undefined || !(await happens(end.promise, deadline - Date.now()))) throw error;
    } finally {
      end?.leave();
    }
  }
}

/**
 * Like `decide`, for requests that must not be blocked: cancels a start that holds the lock too long, and does not wait for any other
 * holder.
 */
export async function decideUrgently<T>(
  engine: Turns & Pick<Engine, "records">,
  id: ContainerId,
  work: (record: Container) => Promise<T>,
): Promise<T> {
  const now = (): Promise<T> => work(engine.records.byId(id));
  if (await isFree(engine, id, startTimeout)) return engine.locks.run(id, now);
  engine.starts.get(id)?.();
  return engine.starts.has(id) ? engine.locks.run(id, now) : now();
}

/** Cancels a start that holds the lock for longer than `milliseconds`, and ten seconds at least: a runtime may hang in it. */
export async function limitStart(engine: Turns, id: ContainerId, milliseconds: number): Promise<void> {
  if (engine.starts.has(id) && !(await isFree(engine, id, Math.max(startTimeout, milliseconds)))) engine.starts.get(id)?.();
}

/** Whether the lock is free, or becomes free: a start may hold it for `ofStart` milliseconds, anything else for `holderTimeout`. */
async function isFree({ locks, starts }: Turns, id: ContainerId, ofStart: number): Promise<boolean> {
  if (!locks.isHeld(id)) return true;
  return locks.run(id, async () => true, starts.has(id) ? Math.min(ofStart, longestTimer) : holderTimeout).catch(() => false);
}

/** Whether a request failed because the container's first process is dead and its end is not recorded yet. */
function isEnding({ records }: Pick<Engine, "records">, record: Container, error: unknown): boolean {
  if (!runs(record) || !records.has(record.id) || !runs(records.byId(record.id))) return false;
  return (isTsboxError(error) && error.code === "Unavailable") || !isAlive(record.pid);
}

/** Whether the promise resolves within this time. */
export async function happens(what: Promise<unknown>, milliseconds: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, Math.min(Math.max(0, milliseconds), longestTimer), false);
  });
  try {
    return await Promise.race([what.then(() => true as const), late]);
  } finally {
    clearTimeout(timer);
  }
}
