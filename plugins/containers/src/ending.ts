/**
 * Ends running containers with signals and timeouts, at a user's request or because of a health check. The decision is taken under the
 * container's lock. The end is awaited outside of it, because recording the end needs the lock, and because a `kill` must not queue behind
 * a `stop` that waits.
 */
import { type Call, type Container, type ContainerId, fail, isTsboxError, signalNumber } from "@tsbox/kernel";
import { attributes } from "./attributes.ts";
import { decide, decideUrgently, endTimeout, happens, isNotRunning, limitStart, refuseIdle, runs } from "./decide.ts";
import type { Engine, Journal, Turns } from "./engine.ts";
import { isKept } from "./restart-policy.ts";
import { cancelRestart } from "./restarts.ts";
import type { RunningContainer } from "./running-container.ts";
import type { Waiting } from "./waiters.ts";

/** The parts of the engine that ending a container needs. */
export type StopNeeds = Journal & Turns & Pick<Engine, "call" | "restarts" | "shims">;

const sigkill = 9;

/**
 * How long a stop waits for the shim while it holds the lock, in milliseconds. A slower delivery continues afterwards, and its failure
 * still counts.
 */
const shimTimeout = 700;

/** One round of a container that is being ended. */
interface Ending {
  readonly record: Container;
  readonly end: Waiting;
  /** When the end was requested, in milliseconds since the epoch. */
  readonly begun: number;
  /** The signal's delivery. It takes some seconds if the shim does not answer and is bypassed. */
  readonly sent: Promise<void>;
}

/** Sends the signal, then SIGKILL after `seconds` (below 0: never). Returns when the end is recorded. Not running: `FailedPrecondition`. */
export async function endGently(
  engine: StopNeeds,
  call: Call,
  id: ContainerId,
  how: (record: Container) => { readonly signal: number; readonly seconds: number },
  before: (record: Container) => Container = (record) => record,
): Promise<void> {
  const timeout = how(engine.records.byId(id)).seconds;
  if (timeout >= 0) await limitStart(engine, id, timeout * 1000);
  const ending = await decide(engine, id, async (record) => {
    if (record.status === "restarting") {
      await cancelRestart(engine, call, record, true);
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
 * Sends SIGKILL; with `all`, to every process of the container. Returns when the end is recorded, or fails after ten seconds, as Docker
 * does. Not running: `FailedPrecondition`.
 */
export async function endAtOnce(engine: StopNeeds, call: Call, id: ContainerId, all: boolean): Promise<void> {
  const ending = await decideUrgently(engine, id, async (record) => {
    if (record.status === "restarting") {
      await cancelRestart(engine, call, record, true);
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

/** Sends any other signal than SIGKILL, and does not wait for what it leads to. The stop signal counts as a stop by the user. */
export function deliver(engine: StopNeeds, call: Call, id: ContainerId, signal: number): Promise<void> {
  return decide(engine, id, async (record) => {
    const fatal = signal === stopSignalOf(record);
    if (record.status === "restarting") {
      if (fatal) await cancelRestart(engine, call, record, true);
      return;
    }
    refuseIdle(record);
    await publishKill(engine, call, fatal ? stopped(engine, record) : record, signal);
    await engine.shims.container(record).signal(call, signal);
    // Written now, because the container may end much later.
    if (fatal) await keepStopped(engine, id);
  });
}

/**
 * A user's stop or kill is on disk before it is answered: a restart of the host must not start the container again. A full disk delays the
 * write.
 */
async function keepStopped(engine: Pick<Engine, "call" | "records">, id: ContainerId): Promise<void> {
  const record = engine.records.has(id) ? engine.records.byId(id) : null;
  if (record?.restart.stopped && isKept(record)) await engine.records.keepSoon(engine.call(), record);
}

/** Notes that the container must not be restarted when it ends. */
const stopped = (engine: Pick<Engine, "records">, record: Container): Container =>
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
    // The event is published first: the end may be reported before the signal's answer.
    await publishKill(engine, call, record, signal);
    const sent = send(engine.shims.container(record), call, record, signal, all);
    if (signal === sigkill) await sent;
    else await happens(sent, shimTimeout);
    return { record, end, begun, sent };
  } catch (error) {
    end.leave();
    throw error;
  }
}

/** Delivers a signal. A paused process handles it once it is resumed; SIGKILL needs no resume. */
async function send(container: RunningContainer, call: Call, { status }: Container, signal: number, all: boolean): Promise<void> {
  await container.signal(call, signal, { all }).catch(unlessOver);
  if (status === "paused" && signal !== sigkill) await container.resume(call).catch(unlessOver);
}

/** Rejects when the work fails, and never resolves. */
const failure = (work: Promise<void>): Promise<never> => work.then(() => new Promise<never>(() => {}));

/** Sends SIGKILL after the timeout. If the container has been started again since, it is left alone. */
async function finish(engine: StopNeeds, call: Call, { record, end }: Ending): Promise<void> {
  const isSame = ({ pid, startedAt, status }: Container): boolean =>
    runs({ status }) && pid === record.pid && startedAt === record.startedAt;
  await decideUrgently(engine, record.id, async (now) => {
    if (!isSame(now)) return;
    await publishKill(engine, call, now, sigkill);
    await engine.shims.container(now).signal(call, sigkill).catch(unlessOver);
  }).catch((error: unknown) => {
    // The end of a container with --rm has already removed it.
    if (!isTsboxError(error) || error.code !== "NotFound") throw error;
  });
  if (!(await happens(end.promise, endTimeout))) throw outlived(record);
}

/** Ignores that the process or its shim is dead: the report of the end is on its way. */
function unlessOver(error: unknown): void {
  if (!isTsboxError(error) || (error.code !== "FailedPrecondition" && error.code !== "Unavailable")) throw error;
}

const outlived = ({ name }: Container): Error =>
  fail(
    "DeadlineExceeded",
    `tried to kill container ${name}, but did not receive an exit event: look at its processes (top), and try again`,
  );

function publishKill(engine: Pick<Engine, "events">, call: Call, record: Container, signal: number): Promise<void> {
  const { id } = record;
  return engine.events.publish(call, {
    type: "container",
    action: "kill",
    id,
    attributes: { ...attributes(record), signal: String(signal) },
  });
}

/** Records of earlier versions may hold an invalid stop signal. */
export function stopSignalOf({ config }: Container): number {
  try {
    return signalNumber(config.stopSignal);
  } catch {
    return signalNumber("SIGTERM");
  }
}

/** Does what `--on-unhealthy` of the container says. `startedAt`: the round that became unhealthy. */
export async function endUnhealthy(engine: StopNeeds, id: ContainerId, startedAt: number | null): Promise<void> {
  const call = engine.call();
  const same = ({ status, startedAt: now }: Container): boolean => status === "running" && now === startedAt;
  try {
    const { onUnhealthy } = engine.records.byId(id).config;
    if (onUnhealthy === "kill") {
      await decide(engine, id, async (record) => {
        if (!same(record)) return;
        await publishKill(engine, call, record, sigkill);
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
        // The container has ended and been started again: the new round is not known to be unhealthy.
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
