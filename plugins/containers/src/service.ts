/** The service `containers`: the verbs of kernel/src/contract/services/containers.ts, each one step long. */
import {
  type Call,
  type Container,
  type ContainerId,
  type ContainersService,
  type ExitStatus,
  fail,
  isTsboxError,
  type Strings,
  signalNumber,
} from "@tsbox/kernel";
import { CdiRegistry } from "./cdi/registry.ts";
import { attributes, create } from "./create.ts";
import { ended, forget, later, remove } from "./end.ts";
import { endGently, tellKill } from "./ending.ts";
import type { Engine } from "./engine.ts";
import { createExec, heard, loseExecs, runExec, startExec, tellExec, waitExec } from "./execs.ts";
import { watchAgain, watchHealth } from "./health.ts";
import { readLog } from "./logs/read.ts";
import { connectNetwork, disconnectNetwork } from "./networks.ts";
import { failedRestart, giveUp, refuseRestarting } from "./restarts.ts";
import { exitOf, watchOrphan } from "./restore.ts";
import { top, update, usage } from "./running.ts";
import { spawnEarly } from "./shims.ts";
import { resolveInRoot } from "./spec/user.ts";
import { start } from "./start.ts";

export function containersService(
  engine: Engine,
  { cgroupDriver, userns }: Pick<ContainersService, "cgroupDriver" | "userns">,
): ContainersService {
  const { records, waiters, launcher, locks } = engine;
  const running = (id: ContainerId): Container => {
    const record = records.byId(id);
    refuseRestarting(record);
    if (record.status === "running" || record.status === "paused") return record;
    throw fail("FailedPrecondition", `container ${id} is not running`, { reason: "containers/not-running" });
  };
  const tell = (call: Call, record: Container, action: string, more: Strings = {}): Promise<void> =>
    engine.events.publish(call, { type: "container", action, id: record.id, attributes: { ...attributes(record), ...more } });

  /** It does not come back when it ends. */
  const stopped = (record: Container): Container => records.note({ ...record, restart: { ...record.restart, stopped: true } });
  /** A container that waits for its restart waits no more; false: it has just begun it. */
  const left = (call: Call, id: ContainerId): Promise<boolean> =>
    locks.run(id, async () => {
      const record = records.byId(id);
      if (record.status !== "restarting") return false;
      await giveUp(engine, call, record, true);
      return true;
    });

  const stop: ContainersService["stop"] = async (call, id, options) => {
    if (records.byId(id).status === "restarting" && (await left(call, id))) return tell(call, records.byId(id), "stop");
    const record = running(id);
    stopped(record);
    await endGently(
      engine,
      call,
      record,
      options.signal ?? signalNumber(record.config.stopSignal),
      options.timeout ?? record.config.stopTimeout,
    );
    await tell(call, record, "stop");
  };
  const launch: ContainersService["start"] = (call, id, options) =>
    locks.run(id, async () => {
      const last = records.byId(id);
      if (last.status === "restarting")
        throw fail("FailedPrecondition", `container ${last.name} is running already: it restarts`, {
          reason: "containers/already-running",
        });
      const record: Container = { ...last, restartCount: 0, restart: { stopped: false, backoff: 0, wanted: false, at: null } };
      try {
        const report = await start(engine, call, record, options);
        await engine.settling.wait(id).catch(async (error: unknown) => {
          // It ends as any other does.
          await launcher.signal(engine.call(), id, signalNumber("SIGKILL"), { all: true }).catch(() => {});
          throw error;
        });
        return report;
      } catch (error) {
        await failed(engine, record, error);
        throw error;
      }
    });

  return {
    cgroupDriver,
    userns,
    selinux: engine.selinux,
    cdi: async () => ({ directories: engine.cdiSpecDirs, devices: (await CdiRegistry.read(engine.cdiSpecDirs)).names() }),
    create: (call, name, config, options) => create(engine, call, name, config, options),
    start: launch,
    get: async (_call, reference) => records.find(reference),
    list: async () => records.all(),
    stop,
    restart: (call, id, options) =>
      restart(
        engine,
        call,
        id,
        () => stop(call, id, options),
        () => launch(call, id, {}),
      ),
    kill: async (call, id, signal) => {
      const fatal = signal === signalNumber("SIGKILL") || signal === signalNumber(records.byId(id).config.stopSignal);
      if (records.byId(id).status === "restarting" && (!fatal || (await left(call, id)))) return;
      const record = running(id);
      if (fatal) stopped(record);
      await tellKill(engine, call, record, signal);
      await launcher.signal(call, id, signal);
    },
    pause: (call, id) =>
      locks.run(id, async () => {
        const record = running(id);
        if (record.status === "paused") throw fail("FailedPrecondition", `Container ${id} is already paused`);
        await launcher.pause(call, id);
        engine.healthWatch.stop(id);
        records.note({ ...records.byId(id), status: "paused" });
        await tell(call, record, "pause");
      }),
    resume: (call, id) =>
      locks.run(id, async () => {
        const record = running(id);
        if (record.status !== "paused") throw fail("FailedPrecondition", `Container ${id} is not paused`);
        await launcher.resume(call, id);
        watchHealth(engine, records.note({ ...records.byId(id), status: "running" }));
        await tell(call, record, "unpause");
      }),
    rename: (call, id, name) =>
      locks.run(id, async () => {
        const record = records.byId(id);
        const fresh = records.reserve(name, id);
        await records.save(call, { ...record, name: fresh });
        await tell(call, { ...record, name: fresh }, "rename", { oldName: `/${record.name}` });
      }),
    resize: async (call, id, size) => {
      await launcher.resize(call, id, size);
      await tell(call, records.byId(id), "resize", { height: String(size.rows), width: String(size.columns) });
    },
    wait: (_call, id, condition) => wait(engine, id, condition),
    flushed: (_call, id, client) => waiters.flushed(id, client),
    connectNetwork: (call, id, wish) => locks.run(id, () => connectNetwork(engine, call, records.byId(id), wish)),
    disconnectNetwork: (call, id, network, { force = false }) =>
      locks.run(id, () => disconnectNetwork(engine, call, records.byId(id), network, force)),
    remove: async (call, id, options) => remove(engine, call, records.byId(id), options),
    openFiles: (call, id, use) => locks.run(id, () => engine.roots.open(engine, call, records.byId(id), use)),
    closeFiles: (call, root) => engine.roots.close(engine, call, root),
    userIn: async (call, id, root) => {
      const { user } = records.byId(id).config;
      return user === "" ? null : resolveInRoot(call, engine.host, root, user, []);
    },
    attachSocket: (call, id) =>
      locks.run(id, async () => {
        const record = records.byId(id);
        if (record.status !== "running" && record.status !== "paused") await (await spawnEarly(engine, call, record)).shim;
        const socket = await launcher.attachSocket(call, id);
        await tell(call, record, "attach");
        return socket;
      }),
    attach: async (call, id, client) => {
      const record = running(id);
      waiters.expectFlush(id, client.client);
      await launcher.attach(call, id, client);
      await tell(call, record, "attach");
    },
    detach: async (call, id, client) => {
      await launcher.detach(call, id, client);
      await letGo(engine, id, client);
    },
    execCreate: (call, id, config) => createExec(engine, call, id, config),
    execStart: (call, exec, options) => startExec(engine, call, exec, options),
    execGet: async (_call, exec) => engine.execs.get(exec).exec,
    execList: async (_call, id) => engine.execs.of(id),
    execResize: async (call, exec, size) => {
      const { container, status } = engine.execs.get(exec).exec;
      if (status !== "running") throw fail("Conflict", `exec command ${exec} is not running`);
      await launcher.resizeExec(call, container, exec, size);
    },
    execWait: (_call, exec) => waitExec(engine, exec),
    execRun: (call, id, command, limit) => runExec(engine, call, id, command, limit),
    top: (call, id, psArguments) => top(engine, call, id, psArguments),
    usage: (call, id) => usage(engine, call, id),
    update: (call, id, changes) => locks.run(id, () => update(engine, call, id, changes)),
    logs: async (call, id, options) => {
      const record = records.byId(id);
      if (record.log.driver === "none") throw fail("Unsupported", "configured logging driver does not support reading");
      const lives = record.status === "running" || record.status === "paused";
      return readLog(call, record.log, options, options.follow && lives ? waiters.next(id, "exit") : null);
    },
  };
}

/** Docker's restart: a container that does not run is started, and one with `--rm` outlives this end. */
async function restart(
  engine: Engine,
  call: Call,
  id: ContainerId,
  stop: () => Promise<void>,
  start: () => Promise<unknown>,
): Promise<void> {
  engine.kept.add(id);
  try {
    await stop().catch((error: unknown) => {
      if (!isTsboxError(error) || error.code !== "FailedPrecondition") throw error;
    });
    await start();
  } finally {
    engine.kept.delete(id);
  }
  const record = engine.records.byId(id);
  await engine.events.publish(call, { type: "container", action: "restart", id, attributes: attributes(record) });
}

/** What goes on by itself from now on: health is watched, and whose time has come is started, one after another for one container, side by side for several. */
export function goOn(engine: Engine): void {
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

/** A start that failed: a volatile container is gone, another says why. The layer stays. */
async function failed(engine: Engine, record: Container, error: unknown): Promise<void> {
  if (!engine.records.has(record.id) || engine.records.byId(record.id).status === "running") return;
  const call = engine.call();
  engine.waiters.flushAll(record.id);
  if (record.config.autoRemove) await forget(engine, call, record.id, true);
  else await engine.records.save(call, { ...record, error: error instanceof Error ? error.message : String(error) });
}

async function wait(engine: Engine, id: ContainerId, condition: "not-running" | "next-exit" | "removed"): Promise<ExitStatus> {
  const record = engine.records.byId(id);
  const lives = record.status === "running" || record.status === "paused" || record.status === "restarting";
  if (condition === "not-running" && !lives) return record.exit ?? { code: 0, signal: null, outOfMemory: false, at: Date.now() };
  return engine.waiters.next(id, condition === "removed" ? "removed" : "exit");
}

/** After the start that it may have overtaken. */
function locked(engine: Engine, id: ContainerId, status: ExitStatus): Promise<void> {
  return engine.locks.run(id, () => ended(engine, id, status));
}

/** A local client has let go of the container, or of the exec that it was joined to. */
async function letGo(engine: Engine, id: ContainerId, client: number): Promise<void> {
  if (!engine.records.has(id)) return;
  const exec = engine.execs.ofClient(client);
  if (exec !== null) return tellExec(engine, engine.call(), exec, "exec_detach");
  const record = engine.records.byId(id);
  await engine.events.publish(engine.call(), { type: "container", action: "detach", id, attributes: attributes(record) });
}

/** Once a round of the container: the kernel tells each time that it looks for a victim. */
async function ranOut(engine: Engine, id: ContainerId): Promise<void> {
  if (!engine.records.has(id) || engine.outOfMemory.has(id)) return;
  engine.outOfMemory.add(id);
  const record = engine.records.byId(id);
  await engine.events.publish(engine.call(), { type: "container", action: "oom", id, attributes: attributes(record) });
}

/** Hears the shims for as long as the engine lives. */
export async function listen(engine: Engine): Promise<void> {
  for await (const event of await engine.launcher.events(engine.call())) {
    const { id } = event;
    if (event.kind === "exited") later(engine, () => locked(engine, id, event.status));
    else if (event.kind === "exec-exited") later(engine, () => heard(engine, event.exec, event.status, event.output));
    else if (event.kind === "out-of-memory") await ranOut(engine, id);
    else if (event.kind === "flushed") engine.waiters.flush(id, event.client, "flushed");
    else if (event.kind === "detached") {
      engine.waiters.flush(id, event.client, "detached");
      await letGo(engine, id, event.client);
    } else if (event.kind === "gone") {
      engine.waiters.flushAll(id);
      later(engine, () => loseExecs(engine, id));
      if (event.killed && engine.records.has(id) && exitOf(engine.records.directory(id)) === null)
        watchOrphan(engine, engine.records.byId(id), engine.records.directory(id));
    }
  }
}
