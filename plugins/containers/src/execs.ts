/** Execs: additional processes in running containers. They are kept in memory while they run and for a while after. */
import { readFileSync } from "node:fs";
import {
  type Call,
  type Container,
  type ContainerId,
  type Exec,
  type ExecConfig,
  type ExecId,
  type ExecLaunch,
  type ExecOutcome,
  type ExitStatus,
  fail,
  isTsboxError,
  newExecId,
  type ShimClient,
  type Sparse,
  supports,
  type Timings,
  type WindowSize,
} from "@tsbox/kernel";
import { attributes } from "./attributes.ts";
import { type Background, later } from "./background.ts";
import type { Drivers, Engine, Journal } from "./engine.ts";
import { explained } from "./formats.ts";
import { refuseRestarting } from "./restart-policy.ts";
import { execProcess, readTemplate } from "./spec/exec-process.ts";
import { resolveInRoot } from "./spec/user.ts";
import { launchBeside, removeTools } from "./tools.ts";

/** The parts of the engine that the start of an exec needs. */
export type ExecNeeds = Journal & Drivers & Background & Pick<Engine, "execs" | "hooks" | "host" | "images" | "shims">;

/** The parts of the engine that the end of an exec needs. */
export type ExecEndNeeds = Journal & Background & Pick<Engine, "execs" | "storage" | "storageIds">;

export async function createExec(
  engine: Journal & Pick<Engine, "execs" | "images">,
  call: Call,
  id: ContainerId,
  config: ExecConfig,
): Promise<Exec> {
  ready(engine, id);
  if (config.argv.length === 0) throw fail("InvalidArgument", "No exec command specified");
  // As with a container, a missing image is reported before anything is created, so that the client can pull it.
  if (config.tools !== null) await engine.images.ensure(call, config.tools, {});
  const exec: Exec = { id: newExecId(), container: id, config, status: "created", pid: null, exitCode: null };
  engine.execs.add(exec);
  await publishExec(engine, call, exec, `exec_create: ${shown(config.argv)}`);
  return exec;
}

/** Returns the record of a container that can take another process; else throws. */
function ready(engine: Pick<Engine, "records">, id: ContainerId): Container {
  const record = engine.records.byId(id);
  refuseRestarting(record);
  refusePaused(record);
  if (record.status !== "running") throw fail("FailedPrecondition", `container ${id} is not running`, { reason: "containers/not-running" });
  return record;
}

export function refusePaused({ id, status }: Container): void {
  if (status === "paused") throw fail("FailedPrecondition", `container ${id} is paused, unpause the container before exec`);
}

/** `NotFound`, as in Docker: there is no such exec, or its container was removed. */
export function knownExec(engine: Pick<Engine, "execs" | "records">, id: string): Exec {
  const { exec } = engine.execs.get(id);
  if (!engine.records.has(exec.container)) throw fail("NotFound", `No such exec instance: ${id}`);
  return exec;
}

export type ExecStart = Sparse<{ client: ShimClient; size: WindowSize; capture: number }>;

export async function startExec(engine: ExecNeeds, call: Call, id: ExecId, options: ExecStart): Promise<Timings> {
  const entry = engine.execs.get(id);
  const { exec } = entry;
  const record = ready(engine, exec.container);
  if (exec.status === "running") throw fail("Conflict", `exec command ${id} is already running`);
  if (exec.status === "ended") throw fail("Conflict", `exec command ${id} has already run`);
  entry.exec = { ...exec, status: "running" };
  entry.client = options.client?.client ?? null;
  await publishExec(engine, call, exec, `exec_start: ${shown(exec.config.argv)}`);
  const { client, capture } = options;
  let launch: ExecLaunch | undefined;
  try {
    launch = await launchOf(engine, call, record, exec);
    if (client) engine.waiters.expectFlush(exec.container, client.client);
    const { config } = exec;
    const started = await engine.shims.container(record).exec(call, {
      exec: id,
      launch,
      terminal: config.terminal ? (options.size ?? config.size ?? { rows: 0, columns: 0 }) : null,
      stdin: config.attach.stdin,
      client: client ?? null,
      capture: capture ?? null,
    });
    // The exec may already have ended.
    if (entry.exec.status === "running") entry.exec = { ...entry.exec, pid: started.pid };
    for (const warning of started.warnings) call.log.warn(warning, { container: exec.container.slice(0, 12) });
    return started.timings;
  } catch (thrown) {
    const error = launch === undefined ? thrown : await explained(call, await engine.exec(record.drivers.exec), launch, thrown);
    if (client) engine.waiters.forgetFlush(exec.container, client.client);
    // No event: no process has died.
    conclude(engine, id, codeOf(error));
    // The shim has ended during the request, so the container ended before; or its files are already gone.
    if ((isTsboxError(error) && error.code === "Unavailable") || !engine.records.isRunning(exec.container))
      throw fail("FailedPrecondition", `container ${exec.container} is not running`, { cause: error });
    throw error;
  }
}

/** Docker decides by its runtime's message: 127 if the command was not found, else 126. */
function codeOf(error: unknown): number {
  if (!isTsboxError(error)) return 126;
  return error.code === "CommandNotFound" || error.code === "NotFound" ? 127 : 126;
}

async function launchOf(engine: ExecNeeds, call: Call, record: Container, exec: Exec): Promise<ExecLaunch> {
  const directory = engine.records.directory(record.id);
  const template = readTemplate(directory);
  const { user, tools } = exec.config;
  if (tools !== null && supports(await engine.exec(record.drivers.exec), "processes"))
    return launchBeside(engine, call, record, exec, tools, template);
  const pid = record.pid ?? 0;
  const who = user === "" ? null : await resolveInRoot(call, engine.host, `/proc/${pid}/root`, user, record.config.groupAdd);
  const process = execProcess(template.process, record.config, exec.config, who);
  await engine.hooks.beforeExec(call, record.id, process);
  const driver = await engine.exec(record.drivers.exec);
  if (supports(driver, "exec")) return driver.planExec(call, { id: exec.id, container: record.id, pid, directory, process });
  if (!supports(driver, "processes"))
    throw fail("Unsupported", `containers of the exec driver ${record.drivers.exec} take no further processes`);
  return { kind: "oci", process, filter: template.filter };
}

/** Records the end of an exec. Null: it had already ended. */
function conclude(engine: ExecEndNeeds, id: ExecId, code: number, output: Uint8Array | null = null): Exec | null {
  const exec = engine.execs.end(id, code, output);
  if (exec !== null && exec.config.tools !== null) later(engine, () => removeTools(engine, id));
  return exec;
}

/** Records the end of an exec and publishes its event. The shim reported the end, or is gone itself. */
export async function endExec(engine: ExecEndNeeds, id: ExecId, code: number, output: Uint8Array | null): Promise<void> {
  const exec = conclude(engine, id, code, output);
  if (exec !== null) await publishExec(engine, engine.call(), exec, "exec_die", { exitCode: String(code) });
}

/** Ends the running execs of a container whose shim was killed: they have lost their parent, so their exit codes are never known. */
export async function endLostExecs(engine: ExecEndNeeds, container: ContainerId): Promise<void> {
  for (const { id, status } of engine.execs.of(container)) if (status === "running") await endExec(engine, id, unknown, null);
}
const unknown = 255;

/** Adds a running exec that an earlier daemon started. */
export function findExec(engine: ExecEndNeeds, container: ContainerId, id: ExecId, pid: number): void {
  if (engine.execs.has(id)) return;
  const exec = formerExec(container, id, wordsOf(pid));
  // Whether it had a tools layer is not known any more. With tools other than null, its end removes the layer if there is one.
  engine.execs.add({ ...exec, config: { ...exec.config, tools: "" }, status: "running", pid });
}

/**
 * Adds an ended exec that an earlier daemon started, so that its exit code can still be queried. No event is published: the earlier daemon
 * may have done so.
 */
export function recallExec(engine: ExecEndNeeds, container: ContainerId, id: ExecId, { code }: ExitStatus): void {
  if (engine.execs.has(id)) return;
  engine.execs.add({ ...formerExec(container, id, []), status: "running" });
  engine.execs.end(id, code, null);
}

/** The known part of an exec that an earlier daemon created. */
function formerExec(container: ContainerId, id: ExecId, argv: readonly string[]): Exec {
  const config: ExecConfig = {
    argv,
    env: [],
    workingDirectory: "",
    user: "",
    terminal: false,
    size: null,
    privileged: false,
    attach: { stdin: false, stdout: true, stderr: true },
    detachKeys: null,
    tools: null,
  };
  return { id, container, config, status: "created", pid: null, exitCode: null };
}

/** The argv of a process, as /proc shows it. */
function wordsOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
  } catch {
    return [];
  }
}

export function waitExec(engine: Pick<Engine, "execs">, id: ExecId): Promise<number> {
  return engine.execs.get(id).ended.promise;
}

/** Runs a command from start to end, for the engine's own use. */
export async function runExec(
  engine: ExecNeeds,
  call: Call,
  id: ContainerId,
  command: Pick<ExecConfig, "argv"> & Sparse<Pick<ExecConfig, "env" | "workingDirectory" | "user">>,
  limit: number,
  made?: (exec: ExecId) => void,
): Promise<ExecOutcome> {
  call.signal.throwIfAborted();
  const exec = await createExec(engine, call, id, {
    argv: command.argv,
    env: command.env ?? [],
    workingDirectory: command.workingDirectory ?? "",
    user: command.user ?? "",
    terminal: false,
    size: null,
    privileged: false,
    attach: { stdin: false, stdout: true, stderr: true },
    detachKeys: null,
    tools: null,
  });
  made?.(exec.id);
  const entry = engine.execs.get(exec.id);
  const container = engine.shims.container(engine.records.byId(id));
  await startExec(engine, call, exec.id, { capture: limit });
  const kill = (): void => void container.signalExec(engine.call(), exec.id, 9).catch(() => {});
  if (call.signal.aborted) kill();
  call.signal.addEventListener("abort", kill, { once: true });
  try {
    const exitCode = await entry.ended.promise;
    call.signal.throwIfAborted();
    return { exitCode, output: entry.output ?? new Uint8Array(0) };
  } finally {
    call.signal.removeEventListener("abort", kill);
    entry.output = null;
  }
}

/** The command as Docker's events show it: the program, a blank, its arguments. */
const shown = ([program = "", ...args]: readonly string[]): string => `${program} ${args.join(" ")}`;

export async function publishExec(
  engine: Journal,
  call: Call,
  exec: Exec,
  action: string,
  more: Readonly<Record<string, string>> = {},
): Promise<void> {
  if (!engine.records.has(exec.container)) return;
  const record = engine.records.byId(exec.container);
  const named = { ...attributes(record), execID: exec.id, ...more };
  await engine.events.publish(call, { type: "container", action, id: record.id, attributes: named });
}

/** Handles a shim's report that an exec has ended. */
export const recordExecEnd = (engine: ExecEndNeeds, exec: ExecId, status: ExitStatus, output: Uint8Array | null): Promise<void> =>
  endExec(engine, exec, status.code, output);
