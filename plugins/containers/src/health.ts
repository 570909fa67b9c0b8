/**
 * Health checks of running containers: probes at each interval, the meaning of their results, and the reaction to an unhealthy container.
 */
import { type Call, type Container, type ContainerId, type Health, type HealthCheck, type HealthResult, isTsboxError } from "@tsbox/kernel";
import { attributes } from "./attributes.ts";
import { later } from "./background.ts";
import type { Engine } from "./engine.ts";
import { type ExecNeeds, runExec } from "./execs.ts";
import { afterProbe, freshHealth, nextProbe } from "./health-check.ts";
import { longestTimer } from "./timers.ts";

/** The parts of the engine that a health check needs. */
export type HealthNeeds = ExecNeeds & Pick<Engine, "healthWatch" | "onUnhealthy">;

/** How many bytes of a result's output are kept: Docker's number. */
const longestOutput = 4096;
/** Watches the container until it ends or is paused. Does nothing without a health check. */
export function watchHealth(engine: HealthNeeds, record: Container): void {
  const { id, config, health, startedAt } = record;
  if (config.healthCheck === null || health === null) return;
  const wait = nextProbe(health, config.healthCheck, startedAt ?? Date.now(), Date.now());
  engine.healthWatch.next(id, wait, () => later(engine, () => probe(engine, id)));
}

/** Watches again after a daemon's death: ends the earlier daemon's probe and schedules the next one. */
export function watchAgain(engine: HealthNeeds, record: Container): void {
  const { health } = record;
  if (health?.probe == null) watchHealth(engine, record);
  else {
    // The probe may have ended by itself.
    engine.shims
      .container(record)
      .signalExec(engine.call(), health.probe, 9)
      .catch(() => {});
    watchHealth(engine, engine.records.note({ ...record, health: { ...health, probe: null } }));
  }
}

async function probe(engine: HealthNeeds, id: ContainerId): Promise<void> {
  if (!engine.records.has(id)) return;
  const before = engine.records.byId(id);
  const check = before.config.healthCheck;
  if (before.status !== "running" || check === null) return;
  const controller = engine.healthWatch.begin(id);
  const result = await ask(engine, before, check, controller);
  engine.healthWatch.finish(id, controller);
  if (controller.signal.aborted && !(controller.signal.reason instanceof TooLong)) return;
  const record = engine.records.has(id) ? engine.records.byId(id) : null;
  // The container has been restarted since: this result is about the earlier round.
  if (record === null || record.status !== "running" || record.startedAt !== before.startedAt) return;
  const was = record.health ?? freshHealth;
  const health = afterProbe(was, result, check, record.startedAt ?? 0);
  const now = engine.records.note({ ...record, health });
  if (health.status !== was.status) await changed(engine, now, health.status);
  watchHealth(engine, engine.records.has(id) ? engine.records.byId(id) : now);
}

class TooLong extends Error {}

async function ask(engine: HealthNeeds, record: Container, check: HealthCheck, controller: AbortController): Promise<HealthResult> {
  const startedAt = Date.now();
  const timer = setTimeout(() => controller.abort(new TooLong()), Math.min(longestTimer, check.timeout));
  const [kind, ...words] = check.test;
  const argv = kind === "CMD" ? words : [...(record.config.shell ?? ["/bin/sh", "-c"]), ...words];
  const answer = (exitCode: number, output: string): HealthResult => ({ startedAt, endedAt: Date.now(), exitCode, output });
  try {
    const call: Call = engine.call({ signal: controller.signal });
    const { exitCode, output } = await runExec(engine, call, record.id, { argv }, longestOutput + 1, (exec) => {
      const now = engine.records.byId(record.id);
      if (now.health !== null) engine.records.note({ ...now, health: { ...now.health, probe: exec } });
    });
    return answer(exitCode, shown(output));
  } catch (error) {
    if (controller.signal.reason instanceof TooLong) return answer(-1, `Health check exceeded timeout (${seconds(check.timeout)})`);
    return answer(-1, isTsboxError(error) ? error.message : String(error));
  } finally {
    clearTimeout(timer);
  }
}

/** A duration in Go's format, in milliseconds or seconds. */
const seconds = (milliseconds: number): string => (milliseconds < 1000 ? `${milliseconds}ms` : `${milliseconds / 1000}s`);

function shown(output: Uint8Array): string {
  const text = Buffer.from(output.subarray(0, longestOutput)).toString();
  return output.length > longestOutput ? `${text}...` : text;
}

async function changed(engine: HealthNeeds, record: Container, status: Health["status"]): Promise<void> {
  const call = engine.call();
  const { id, config } = record;
  await engine.events.publish(call, { type: "container", action: `health_status: ${status}`, id, attributes: attributes(record) });
  if (status !== "unhealthy" || config.onUnhealthy === "none") return;
  call.log.info(`${record.name} is unhealthy: ${config.onUnhealthy}`);
  // In the background, because it ends the container in which this probe runs.
  later(engine, () => engine.onUnhealthy(id, record.startedAt));
}
