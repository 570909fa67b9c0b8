/** Start, stop and restart at a user's request, and the handling of a failed start. */
import { constants } from "node:os";
import {
  type Call,
  type Container,
  type ContainerId,
  type ContainersService,
  type ExitStatus,
  fail,
  isTsboxError,
  type Sparse,
  type StartOptions,
  type StartReport,
  signalNumber,
} from "@tsbox/kernel";
import { attributes } from "./attributes.ts";
import { decide, isNotRunning, runs } from "./decide.ts";
import { type EndNeeds, forget } from "./end.ts";
import { endGently, type StopNeeds, stopSignalOf } from "./ending.ts";
import type { Engine } from "./engine.ts";
import { type StartNeeds, start } from "./start.ts";

/** The parts of the engine that a start by the user needs. */
export type LaunchNeeds = StartNeeds & StopNeeds & EndNeeds;

type StopOptions = Parameters<ContainersService["stop"]>[2];

export function launch(engine: LaunchNeeds, call: Call, id: ContainerId, options: Sparse<StartOptions>): Promise<StartReport> {
  return decide(engine, id, async (last) => {
    if (last.status === "restarting")
      throw fail("FailedPrecondition", `container ${last.name} is running already: it restarts`, { reason: "containers/already-running" });
    // A client in the foreground: as in Docker, it attaches before the start, and whether or not that succeeds.
    if (options.client !== undefined)
      await engine.events.publish(call, { type: "container", action: "attach", id, attributes: attributes(last) });
    const record: Container = { ...last, restartCount: 0, restart: { stopped: false, backoff: 0, wanted: false, at: null } };
    try {
      const report = await start(engine, call, record, options);
      await lasts(engine, record).catch(async (error: unknown) => {
        // The container then ends like any other.
        await engine.shims
          .container(engine.records.byId(id))
          .signal(engine.call(), signalNumber("SIGKILL"), { all: true })
          .catch(() => {});
        throw error;
      });
      return report;
    } catch (error) {
      await failed(engine, record, error);
      throw error;
    }
  });
}

/** Fails if the next daemon would not know that the container runs. */
async function lasts(engine: Pick<Engine, "records" | "settling">, { id, name }: Container): Promise<void> {
  await engine.settling.wait(id);
  if (!engine.records.isNoted(id))
    throw fail("ResourceExhausted", `container ${name} is not started: there is no room for its record in the state directory; make some`);
}

/**
 * Handles a failed start: a container with `--rm` is removed; another records the error, and the exit code that a shell would give, as
 * Docker does. Its layer stays.
 */
async function failed(engine: LaunchNeeds, record: Container, error: unknown): Promise<void> {
  if (!engine.records.has(record.id) || runs(engine.records.byId(record.id))) return;
  const call = engine.call();
  engine.waiters.flushAll(record.id);
  if (record.config.autoRemove) return forget(engine, call, record.id, true);
  const exit: ExitStatus = { code: startCode(error), signal: null, outOfMemory: false, at: record.exit?.at ?? 0 };
  await engine.records.save(call, { ...record, exit, error: error instanceof Error ? error.message : String(error) });
}

/** 127 if the command was not found or a file is where a directory is needed, 126 if it can't be executed, else Docker's 128. */
function startCode(error: unknown): number {
  if (!isTsboxError(error)) return 128;
  if (error.code === "CommandNotFound" || (error.code === "NotFound" && error.stage !== undefined)) return 127;
  if (error.errno === constants.errno.ENOTDIR) return 127;
  return error.code === "NotExecutable" ? 126 : 128;
}

export async function stop(engine: StopNeeds, call: Call, id: ContainerId, options: StopOptions): Promise<void> {
  const before = engine.records.byId(id);
  await end(engine, call, id, options);
  // A container with `--rm` is gone by now.
  const record = engine.records.has(id) ? engine.records.byId(id) : before;
  await engine.events.publish(call, { type: "container", action: "stop", id, attributes: attributes(record) });
}

const end = (engine: StopNeeds, call: Call, id: ContainerId, { signal, timeout }: StopOptions): Promise<void> =>
  endGently(
    engine,
    call,
    id,
    (record) => ({ signal: signal ?? stopSignalOf(record), seconds: timeout ?? record.config.stopTimeout }),
    (record) => ({ ...record, restart: { ...record.restart, stopped: true } }),
  );

/** Docker's restart: starts a container that does not run; a container with `--rm` is not removed by this end. */
export async function restart(engine: LaunchNeeds, call: Call, id: ContainerId, options: StopOptions): Promise<void> {
  keep(engine, id, 1);
  try {
    await stop(engine, call, id, options).catch((error: unknown) => {
      if (!isNotRunning(error)) throw error;
    });
    await launch(engine, call, id, {}).catch((error: unknown) => {
      // Another request has just started it.
      if (!isTsboxError(error) || error.reason !== "containers/already-running") throw error;
    });
  } finally {
    keep(engine, id, -1);
    await leaveNone(engine, id);
  }
  const record = engine.records.byId(id);
  await engine.events.publish(call, { type: "container", action: "restart", id, attributes: attributes(record) });
}

function keep({ kept }: Pick<Engine, "kept">, id: ContainerId, more: 1 | -1): void {
  const count = (kept.get(id) ?? 0) + more;
  if (count > 0) kept.set(id, count);
  else kept.delete(id);
}

/** Removes a container with `--rm` that has ended and was not started again. */
async function leaveNone(engine: LaunchNeeds, id: ContainerId): Promise<void> {
  const isLeft = (): boolean => {
    if (!engine.records.has(id) || engine.kept.has(id)) return false;
    const { config, status } = engine.records.byId(id);
    return config.autoRemove && status === "exited";
  };
  if (isLeft())
    await engine.locks.run(id, async () => {
      if (isLeft()) await forget(engine, engine.call(), id, true);
    });
}
