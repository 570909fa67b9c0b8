/**
 * Decisions over a container. They are taken under its lock, by its record as it is then. The record is a moment behind the kernel: where a
 * request fails since the first process has just died, the end is waited for, outside the lock that it needs, and the request is decided
 * anew.
 */
import { type Container, type ContainerId, fail, isTsboxError } from "@tsbox/kernel";
import { isAlive } from "./alive.ts";
import type { Engine, Journal, Turns } from "./engine.ts";
import { refuseRestarting } from "./restart-policy.ts";
import { longestTimer } from "./timers.ts";
import type { Waiting } from "./waiters.ts";

/** How long an end may take: of SIGKILL, and from a process's death to the record of it. Docker's. */
export const endTimeout = 10_000;
/** How long `kill` and `rm -f` stand in line before they go ahead. */
const urgentTimeout = 10_000;

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
          // Expected before the lock is let go: the end is told once.
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

/** As `decide`, for what must get through: a start that takes too long is given up, and any other request is passed by. */
export async function decideUrgently<T>(
  engine: Turns & Pick<Engine, "records">,
  id: ContainerId,
  work: (record: Container) => Promise<T>,
): Promise<T> {
  const now = (): Promise<T> => work(engine.records.byId(id));
  if (await isFree(engine, id)) return engine.locks.run(id, now);
  engine.starts.get(id)?.();
  return engine.starts.has(id) ? engine.locks.run(id, now) : now();
}

/** Whether the lock was free within a while. */
async function isFree({ locks }: Pick<Engine, "locks">, id: ContainerId): Promise<boolean> {
  if (!locks.isHeld(id)) return true;
  return locks.run(id, async () => true, urgentTimeout).catch(() => false);
}

/** Whether a request failed since the container's first process is dead, which is not recorded yet. */
function isEnding({ records }: Pick<Engine, "records">, record: Container, error: unknown): boolean {
  if (!runs(record) || !records.has(record.id) || !runs(records.byId(record.id))) return false;
  return (isTsboxError(error) && error.code === "Unavailable") || !isAlive(record.pid);
}

/** True when it happened within so many milliseconds. */
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
