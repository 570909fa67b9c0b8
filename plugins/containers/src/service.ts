/** The service `containers`: the verbs of kernel/src/contract/services/containers.ts, each one step long. */
import {
  type Call,
  type Container,
  type ContainerId,
  type ContainersService,
  type ExitStatus,
  fail,
  reports,
  type Strings,
  signalNumber,
} from "@tsbox/kernel";
import { attributes } from "./attributes.ts";
import { later } from "./background.ts";
import { CdiRegistry } from "./cdi/registry.ts";
import { create } from "./create.ts";
import { decide, refuseIdle, runs } from "./decide.ts";
import { spawnEarly } from "./early-shims.ts";
import { recordEnd, remove } from "./end.ts";
import { deliver, endAtOnce } from "./ending.ts";
import type { Engine } from "./engine.ts";
import { createExec, endLostExecs, knownExec, publishExec, recordExecEnd, refusePaused, runExec, startExec, waitExec } from "./execs.ts";
import { watchAgain, watchHealth } from "./health.ts";
import { launch, restart, stop } from "./launching.ts";
import { isReadable } from "./log-drivers/settle.ts";
import { formatOf, readLog } from "./logs/read.ts";
import { migrate, planMigration, storageUse } from "./migrate.ts";
import { connectNetwork, disconnectNetwork } from "./networks.ts";
import { failedRestart } from "./restarts.ts";
import { exitOf, watchOrphan, withoutShim } from "./restore.ts";
import { resolveInRoot } from "./spec/user.ts";
import { start } from "./start.ts";
import { top } from "./top.ts";
import { update } from "./update.ts";
import { usage } from "./usage.ts";

export function containersService(
  engine: Engine,
  { cgroupDriver, userns }: Pick<ContainersService, "cgroupDriver" | "userns">,
): ContainersService {
  const { records, waiters, shims } = engine;
  const publish = (call: Call, record: Container, action: string, more: Strings = {}): Promise<void> =>
    engine.events.publish(call, { type: "container", action, id: record.id, attributes: { ...attributes(record), ...more } });
  /** Runs `work` on a running or paused container. */
  const running = <T>(id: ContainerId, work: (record: Container) => Promise<T>): Promise<T> =>
    decide(engine, id, async (record) => {
      refuseIdle(record);
      return work(record);
    });

  return {
    cgroupDriver,
    userns,
    selinux: engine.selinux,
    cdi: async () => ({ directories: engine.cdiSpecDirs, devices: (await CdiRegistry.read(engine.cdiSpecDirs)).names() }),
    create: (call, name, config, options) => create(engine, call, name, config, options),
    start: (call, id, options) => launch(engine, call, id, options),
    get: async (_call, reference) => records.find(reference),
    list: async () => records.all(),
    stop: (call, id, options) => stop(engine, call, id, options),
    restart: (call, id, options) => restart(engine, call, id, options),
    kill: (call, id, signal) =>
      signal === signalNumber("SIGKILL") ? endAtOnce(engine, call, id, false) : deliver(engine, call, id, signal),
    pause: (call, id) =>
      running(id, async (record) => {
        if (record.status === "paused")
          throw fail("FailedPrecondition", `Container ${id} is already paused`, { reason: "containers/already-paused" });
        await shims.container(record).pause(call);
        engine.healthWatch.stop(id);
        records.note({ ...record, status: "paused" });
        await publish(call, record, "pause");
      }),
    resume: (call, id) =>
      running(id, async (record) => {
        if (record.status !== "paused")
          throw fail("FailedPrecondition", `Container ${id} is not paused`, { reason: "containers/not-paused" });
        await shims.container(record).resume(call);
        watchHealth(engine, records.note({ ...record, status: "running" }));
        await publish(call, record, "unpause");
      }),
    rename: (call, id, name) =>
      decide(engine, id, async (record) => {
        if (record.name === name)
          throw fail("InvalidArgument", "Renaming a container with the same name as its current name: give another one");
        const fresh = records.reserve(name, id);
        try {
          await records.save(call, { ...record, name: fresh });
        } catch (error) {
          records.note(record);
          throw error;
        }
        await publish(call, { ...record, name: fresh }, "rename", { oldName: `/${record.name}` });
      }),
    resize: async (call, id, size) => {
      const record = records.byId(id);
      refuseIdle(record);
      await shims.container(record).resize(call, size);
      await publish(call, record, "resize", { height: String(size.rows), width: String(size.columns) });
    },
    wait: (call, id, condition) => wait(engine, call, id, condition),
    flushed: (_call, id, client) => waiters.flushed(id, client),
    connectNetwork: (call, id, wish) => decide(engine, id, (record) => connectNetwork(engine, call, record, wish)),
    disconnectNetwork: (call, id, network, { force = false }) =>
      decide(engine, id, (record) => disconnectNetwork(engine, call, record, network, force)),
    remove: async (call, id, options) => remove(engine, call, records.byId(id).id, options),
    openFiles: (call, id, use) => decide(engine, id, (record) => engine.roots.open(engine, call, record, use)),
    closeFiles: (call, root) => engine.roots.close(engine, call, root),
    userIn: async (call, id, root) => {
      const { user } = records.byId(id).config;
      return user === "" ? null : resolveInRoot(call, engine.host, root, user, []);
    },
    attachSocket: (call, id, exec) =>
      decide(engine, id, async (record) => {
        // An exec attaches to its own process; the event `exec_start` reports that.
        if (exec !== undefined) {
          refuseIdle(record);
          refusePaused(record);
          return shims.container(record).attachSocket(call);
        }
        if (!runs(record)) await (await spawnEarly(engine, call, record)).shim;
        const socket = await shims.container(record).attachSocket(call);
        await publish(call, record, "attach");
        return socket;
      }),
    attach: (call, id, client) =>
      running(id, async (record) => {
        waiters.expectFlush(id, client.client);
        try {
          await shims.container(record).attach(call, client);
        } catch (error) {
          waiters.forgetFlush(id, client.client);
          throw error;
        }
        await publish(call, record, "attach");
      }),
    detach: async (call, id, client) => {
      if (records.has(id)) await shims.container(records.byId(id)).detach(call, client);
      await publishDetach(engine, id, client);
    },
    execCreate: (call, id, config) => createExec(engine, call, id, config),
    execStart: (call, exec, options) => startExec(engine, call, exec, options),
    execGet: async (_call, exec) => knownExec(engine, exec),
    execList: async (_call, id) => engine.execs.of(id),
    execResize: async (call, exec, size) => {
      const { container, status } = knownExec(engine, exec);
      if (status !== "running") throw fail("Conflict", `exec command ${exec} is not running`);
      await shims.container(records.byId(container)).resizeExec(call, exec, size);
    },
    execWait: (_call, exec) => waitExec(engine, exec),
    execRun: (call, id, command, limit) => runExec(engine, call, id, command, limit),
    top: async (call, id, psArguments) => {
      const table = await top(engine, call, id, psArguments);
      await publish(call, records.byId(id), "top");
      return table;
    },
    usage: (call, id) => usage(engine, call, id),
    update: (call, id, changes) => decide(engine, id, (record) => update(engine, call, record, changes)),
    logs: async (call, id, options) => {
      const record = records.byId(id);
      formatOf(record.log);
      if (!isReadable(record.config))
        throw fail("Unsupported", "configured logging driver does not support reading: cache-disabled is set");
      const ended = options.follow && runs(record) ? waiters.next(id, "exit", call.signal) : null;
      // If the log is never read, no code awaits this promise, and it rejects when the client disconnects.
      ended?.catch(() => {});
      return readLog(call, record.log, options, ended);
    },
    storageUse: (call) => storageUse(engine, call),
    planMigration: (call, options) => planMigration(engine, call, options),
    migrate: async (call, options) => reports((report) => engine.migrations.run(() => migrate(engine, call, options, report))),
  };
}

/**
 * Starts the engine's own work: watches health, and restarts containers when their delay is over; one after another for one container, in
 * parallel for several.
 */
export function resumeWork(engine: Engine): void {
  const again = async (id: ContainerId): Promise<void> => {
    if (!engine.records.has(id)) return;
    const record = engine.records.byId(id);
    if (record.status !== "restarting") return;
    const call = engine.call();
    try {
      await start(engine, call, record, {});
    } catch (error) {
      call.log.error(`can't restart ${record.name}: ${String(error)}`);
      await failedRestart(engine, call, record, error);
    }
  };
  for (const record of engine.records.all()) if (record.status === "running") watchAgain(engine, record);
  engine.restarts.open((id) => later(engine, () => engine.locks.run(id, () => again(id))), engine.records.all());
}

async function wait(
  engine: Engine,
  { signal }: Call,
  id: ContainerId,
  condition: "not-running" | "next-exit" | "removed",
): Promise<ExitStatus> {
  const record = engine.records.byId(id);
  if (condition === "not-running" && !runs(record) && record.status !== "restarting")
    return record.exit ?? { code: 0, signal: null, outOfMemory: false, at: Date.now() };
  return engine.waiters.next(id, condition === "removed" ? "removed" : "exit", signal);
}

/** A local client has disconnected from the container, or from its exec. */
async function publishDetach(engine: Engine, id: ContainerId, client: number): Promise<void> {
  if (!engine.records.has(id)) return;
  const exec = engine.execs.ofClient(client);
  if (exec !== null) return publishExec(engine, engine.call(), exec, "exec_detach");
  const record = engine.records.byId(id);
  await engine.events.publish(engine.call(), { type: "container", action: "detach", id, attributes: attributes(record) });
}

/** Publishes `oom` once per round: the kernel reports each time that it looks for a process to kill. */
async function publishOutOfMemory(engine: Engine, id: ContainerId): Promise<void> {
  if (!engine.records.has(id) || engine.outOfMemory.has(id)) return;
  engine.outOfMemory.add(id);
  const record = engine.records.byId(id);
  await engine.events.publish(engine.call(), { type: "container", action: "oom", id, attributes: attributes(record) });
}

/** Handles the shims' events for as long as the engine lives. */
export async function listen(engine: Engine): Promise<void> {
  for await (const event of await engine.shims.events(engine.call())) {
    const { id } = event;
    if (event.kind === "exited") later(engine, () => recordEnd(engine, id, event.pid, event.status));
    else if (event.kind === "exec-exited") later(engine, () => recordExecEnd(engine, event.exec, event.status, event.output));
    else if (event.kind === "out-of-memory") await publishOutOfMemory(engine, id);
    else if (event.kind === "flushed") engine.waiters.flush(id, event.client, "flushed");
    else if (event.kind === "detached") {
      engine.waiters.flush(id, event.client, "detached");
      await publishDetach(engine, id, event.client);
    } else if (event.kind === "gone") {
      engine.waiters.flushAll(id);
      later(engine, () => endLostExecs(engine, id));
      if (event.killed && engine.records.has(id) && exitOf(engine.records.directory(id)) === null)
        watchOrphan(engine, withoutShim(engine, engine.records.byId(id)), engine.records.directory(id));
    }
  }
}
