/**
 * How a running container is brought to its end, by signals and deadlines, and why it may be without a user. The decision is taken under
 * the container's lock; the end is waited for outside of it, since it needs the lock itself, and since whoever kills must not stand behind
 * who waits.
 */
import { type Call, type Container, type ContainerId, fail, isTsboxError, signalNumber } from "@tsbox/kernel";
import { attributes } from "./attributes.ts";
import { decide, decideUrgently, endTimeout, happens, isNotRunning, refuseIdle, runs } from "./decide.ts";
import type { Engine, Journal, Turns } from "./engine.ts";
import { isKept } from "./restart-policy.ts";
import { giveUp } from "./restarts.ts";
import type { RunningContainer } from "./running-container.ts";
import type { Waiting } from "./waiters.ts";

/** What bringing a container to its end needs of the engine. */
export type StopNeeds = Journal & Turns & Pick<Engine, "call" | "restarts" | "shims">;

const sigkill = 9;

/** Milliseconds that a stop waits for the shim, under the lock. What a slow one does after that counts, too. */
const shimTimeout = 700;

/** One round of a container that is to end. */
interface Ending {
  readonly record: Container;
  readonly end: Waiting;
  /** When it was asked for. */
  readonly begun: number;
  /** The signal's delivery: past a shim that does not answer, it takes some seconds. */
  readonly sent: Promise<void>;
}

/** The signal, then SIGKILL after so many seconds (below 0: never). Answers when the end is recorded. Not running: `FailedPrecondition`. */
export async function endGently(
  engine: StopNeeds,
  call: Call,
  id: ContainerId,
  how: (record: Container) => { readonly signal: number; readonly seconds: number },
  before: (record: Container) => Container = (record) => record,
): Promise<void> {
  const ending = await decide(engine, id, async (record) => {
    if (record.status === "restarting") {
      await giveUp(engine, call, record, true);
      return null;
    }
    refuseIdle(record);
    const { signal, seconds } = how(record);
    return { ...(await begin(engine, call, engine.records.note(before(record)), signal, false)), seconds };
  });
  if (ending === null) return;
  const { end, sent, begun, seconds } = ending;
  try {
    if (seconds < 0) await Promise.race([engine.waiters.until(end, call.signal), failure(sent)]);
    else if (!(await happens(end.promise, begun + seconds * 1000 - Date.now()))) await finish(engine, call, ending);
    await keepStopped(engine, id);
  } finally {
    ending.end.leave();
  }
}

/**
 * SIGKILL, with `all` to every process of it. Answers when the end is recorded, or fails after ten seconds, as Docker does. Not running:
 * `FailedPrecondition`.
 */
export async function endAtOnce(engine: StopNeeds, call: Call, id: ContainerId, all: boolean): Promise<void> {
  const ending = await decideUrgently(engine, id, async (record) => {
    if (record.status === "restarting") {
      await giveUp(engine, call, record, true);
      return null;
    }
    refuseIdle(record);
    return begin(engine, call, stopped(engine, record), sigkill, all);
  });
  if (ending === null) return;
  try {
    if (!(await happens(ending.end.promise, endTimeout))) throw outlived(ending.record);
    await keepStopped(engine, id);
  } finally {
    ending.end.leave();
  }
}

/**
 * A user's stop or kill is on disk before it is answered: a restart of the host must not start the container again. A full disk delays the
 * write.
 */
export async function keepStopped(engine: Pick<Engine, "call" | "records">, id: ContainerId): Promise<void> {
  const record = engine.records.has(id) ? engine.records.byId(id) : null;
  if (record?.restart.stopped && isKept(record)) await engine.records.keepSoon(engine.call(), record);
}

/** It does not come back when it ends. */
export const stopped = (engine: Pick<Engine, "records">, record: Container): Container =>
  engine.records.note({ ...record, restart: { ...record.restart, stopped: true } });

async function begin(
  engine: Journal & Pick<Engine, "shims">,
  call: Call,
  record: Container,
  signal: number,
  all: boolean,
): Promise<Ending> {
  const begun = Date.now();
  const end = engine.waiters.expect(record.id, "exit");
  try {
    // Told first: its end may be quicker than the answer.
    await tellKill(engine, call, record, signal);
    const sent = send(engine.shims.container(record), call, record, signal, all);
    if (signal === sigkill) await sent;
    else await happens(sent, shimTimeout);
    return { record, end, begun, sent };
  } catch (error) {
    end.leave();
    throw error;
  }
}

/** A paused process has what it was sent when it goes on; SIGKILL does not wait for that. */
async function send(container: RunningContainer, call: Call, { status }: Container, signal: number, all: boolean): Promise<void> {
  await container.signal(call, signal, { all }).catch(unlessOver);
  if (status === "paused" && signal !== sigkill) await container.resume(call).catch(unlessOver);
}

/** Never kept: it only fails. */
const failure = (work: Promise<void>): Promise<never> => work.then(() => new Promise<never>(() => {}));

/** Its time is over. Another start since is none of ours. */
async function finish(engine: StopNeeds, call: Call, { record, end }: Ending): Promise<void> {
  const isSame = ({ pid, startedAt, status }: Container): boolean =>
    runs({ status }) && pid === record.pid && startedAt === record.startedAt;
  await decideUrgently(engine, record.id, async (now) => {
    if (!isSame(now)) return;
    await tellKill(engine, call, now, sigkill);
    await engine.shims.container(now).signal(call, sigkill).catch(unlessOver);
  }).catch((error: unknown) => {
    // With --rm its end was its removal.
    if (!isTsboxError(error) || error.code !== "NotFound") throw error;
  });
  if (!(await happens(end.promise, endTimeout))) throw outlived(record);
}

/** The process is dead, or its shim is: the end is on its way. */
function unlessOver(error: unknown): void {
  if (!isTsboxError(error) || (error.code !== "FailedPrecondition" && error.code !== "Unavailable")) throw error;
}

const outlived = ({ name }: Container): Error =>
  fail(
    "DeadlineExceeded",
    `tried to kill container ${name}, but did not receive an exit event: look at its processes (top), and try again`,
  );

export function tellKill(engine: Pick<Engine, "events">, call: Call, record: Container, signal: number): Promise<void> {
  const { id } = record;
  return engine.events.publish(call, {
    type: "container",
    action: "kill",
    id,
    attributes: { ...attributes(record), signal: String(signal) },
  });
}

/** A record of before may have one that is no signal. */
export function stopSignalOf({ config }: Container): number {
  try {
    return signalNumber(config.stopSignal);
  } catch {
    return signalNumber("SIGTERM");
  }
}

/** What its user wants when it turns unhealthy. `startedAt`: of the round that did. */
export async function endUnhealthy(engine: StopNeeds, id: ContainerId, startedAt: number | null): Promise<void> {
  const call = engine.call();
  const same = ({ status, startedAt: now }: Container): boolean => status === "running" && now === startedAt;
  try {
    const { onUnhealthy } = engine.records.byId(id).config;
    if (onUnhealthy === "kill") {
      await decide(engine, id, async (record) => {
        if (!same(record)) return;
        await tellKill(engine, call, record, sigkill);
        await engine.shims.container(record).signal(call, sigkill);
      });
      return;
    }
    const mark = (record: Container): Container => ({
      ...record,
      restart: onUnhealthy === "restart" ? { ...record.restart, wanted: true } : { ...record.restart, stopped: true },
    });
    await endGently(
      engine,
      call,
      id,
      (record) => ({ signal: stopSignalOf(record), seconds: record.config.stopTimeout }),
      (record) => {
        // Ended and started since: that one is as healthy as it was.
        if (!same(record)) throw fail("FailedPrecondition", "another round", { reason: "containers/not-running" });
        return mark(record);
      },
    );
    const record = engine.records.byId(id);
    if (onUnhealthy === "stop")
      await engine.events.publish(call, { type: "container", action: "stop", id, attributes: attributes(record) });
  } catch (error) {
    if (!isNotRunning(error) && !(isTsboxError(error) && error.code === "NotFound")) throw error;
  }
}
