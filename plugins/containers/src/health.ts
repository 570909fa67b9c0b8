/** Health checks of running containers: a probe after each interval, what its answers mean, and what is done about a container that turned unhealthy. */
import {
  type Call,
  type Container,
  type ContainerId,
  fail,
  type Health,
  type HealthCheck,
  type HealthRequest,
  type HealthResult,
  isTsboxError,
} from "@tsbox/kernel";
import { attributes } from "./create.ts";
import { later } from "./end.ts";
import type { Engine } from "./engine.ts";
import { runExec } from "./execs.ts";

/** As many results as Docker keeps, and bytes of each one's output. */
const kept = 5;
const longestOutput = 4096;
/** Of a setTimeout. */
const furthest = 2 ** 31 - 1;

const defaults = { interval: 30_000, timeout: 30_000, startPeriod: 0, startInterval: 5000, retries: 3 };

/** The user's parts before the image's before Docker's; null: none. */
export function healthCheckOf(asked: HealthRequest | null, image: HealthRequest | null): HealthCheck | null {
  const test = asked?.test && asked.test.length > 0 ? asked.test : (image?.test ?? []);
  if (test.length === 0 || test[0] === "NONE") return null;
  if (test[0] !== "CMD" && test[0] !== "CMD-SHELL")
    throw fail("InvalidArgument", `Unknown healthcheck type '${test[0]}' (expected 'CMD' or 'CMD-SHELL')`);
  const part = (name: keyof typeof defaults): number => asked?.[name] || image?.[name] || defaults[name];
  return {
    test,
    interval: part("interval"),
    timeout: part("timeout"),
    startPeriod: part("startPeriod"),
    startInterval: part("startInterval"),
    retries: part("retries"),
  };
}

export const freshHealth: Health = { status: "starting", failingStreak: 0, log: [], probe: null };

/** Pure. A failure in the start period does not count, as long as there was no success yet. */
export function afterProbe(health: Health, result: HealthResult, check: HealthCheck, startedAt: number): Health {
  const log = [...health.log, result].slice(-kept);
  if (result.exitCode === 0) return { status: "healthy", failingStreak: 0, log, probe: null };
  const early = health.status === "starting" && result.startedAt - startedAt < check.startPeriod;
  const failingStreak = early ? health.failingStreak : health.failingStreak + 1;
  return { status: failingStreak >= check.retries ? "unhealthy" : health.status, failingStreak, log, probe: null };
}

/** Milliseconds until the next probe. A start interval that is longer than what is left of the start period ends with it. Pure. */
export function nextProbe(health: Health, check: HealthCheck, startedAt: number, now: number): number {
  const last = health.log.at(-1)?.endedAt ?? startedAt;
  const periodEnd = startedAt + check.startPeriod;
  const early = health.status === "starting" && Math.max(last, now) < periodEnd;
  return Math.max(0, (early ? Math.min(last + check.startInterval, periodEnd) : last + check.interval) - now);
}

/** Containers that are watched. */
export class HealthWatch {
  readonly #timers: Map<ContainerId, NodeJS.Timeout> = new Map();
  readonly #probes: Map<ContainerId, AbortController> = new Map();
  #closed = false;

  next(id: ContainerId, milliseconds: number, probe: () => void): void {
    clearTimeout(this.#timers.get(id));
    if (!this.#closed) this.#timers.set(id, setTimeout(probe, Math.min(furthest, milliseconds)).unref());
  }

  /** Canceled when nobody watches any more. */
  begin(id: ContainerId): AbortController {
    const controller = new AbortController();
    this.#probes.set(id, controller);
    return controller;
  }

  finish(id: ContainerId, probe: AbortController): void {
    if (this.#probes.get(id) === probe) this.#probes.delete(id);
  }

  stop(id: ContainerId): void {
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
    this.#probes.get(id)?.abort(fail("Canceled", "the container's health is not watched any more"));
    this.#probes.delete(id);
  }

  close(): void {
    this.#closed = true;
    for (const id of new Set([...this.#timers.keys(), ...this.#probes.keys()])) this.stop(id);
  }
}

/** From now until its end or pause; without a health check nothing is done. */
export function watchHealth(engine: Engine, record: Container): void {
  const { id, config, health, startedAt } = record;
  if (config.healthCheck === null || health === null) return;
  const wait = nextProbe(health, config.healthCheck, startedAt ?? Date.now(), Date.now());
  engine.healthWatch.next(id, wait, () => later(engine, () => probe(engine, id)));
}

/** After a daemon's death: its last look is ended, and the next one comes when it is due. */
export function watchAgain(engine: Engine, record: Container): void {
  const { id, health } = record;
  if (health?.probe == null) watchHealth(engine, record);
  else {
    // It may have ended by itself.
    engine.launcher.signalExec(engine.call(), id, health.probe, 9).catch(() => {});
    watchHealth(engine, engine.records.note({ ...record, health: { ...health, probe: null } }));
  }
}

async function probe(engine: Engine, id: ContainerId): Promise<void> {
  if (!engine.records.has(id)) return;
  const before = engine.records.byId(id);
  const check = before.config.healthCheck;
  if (before.status !== "running" || check === null) return;
  const controller = engine.healthWatch.begin(id);
  const result = await ask(engine, before, check, controller);
  engine.healthWatch.finish(id, controller);
  if (controller.signal.aborted && !(controller.signal.reason instanceof TooLong)) return;
  const record = engine.records.has(id) ? engine.records.byId(id) : null;
  // Another start since: what this probe saw is not about that one.
  if (record === null || record.status !== "running" || record.startedAt !== before.startedAt) return;
  const was = record.health ?? freshHealth;
  const health = afterProbe(was, result, check, record.startedAt ?? 0);
  const now = engine.records.note({ ...record, health });
  if (health.status !== was.status) await changed(engine, now, health.status);
  watchHealth(engine, engine.records.has(id) ? engine.records.byId(id) : now);
}

class TooLong extends Error {}

async function ask(engine: Engine, record: Container, check: HealthCheck, controller: AbortController): Promise<HealthResult> {
  const startedAt = Date.now();
  const timer = setTimeout(() => controller.abort(new TooLong()), Math.min(furthest, check.timeout));
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

/** As Go prints a duration of whole or broken seconds. */
const seconds = (milliseconds: number): string => (milliseconds < 1000 ? `${milliseconds}ms` : `${milliseconds / 1000}s`);

function shown(output: Uint8Array): string {
  const text = Buffer.from(output.subarray(0, longestOutput)).toString();
  return output.length > longestOutput ? `${text}...` : text;
}

async function changed(engine: Engine, record: Container, status: Health["status"]): Promise<void> {
  const call = engine.call();
  const { id, config } = record;
  await engine.events.publish(call, { type: "container", action: `health_status: ${status}`, id, attributes: attributes(record) });
  if (status !== "unhealthy" || config.onUnhealthy === "none") return;
  call.log.info(`${record.name} is unhealthy: ${config.onUnhealthy}`);
  // Behind this probe, whose container it ends.
  later(engine, () => engine.onUnhealthy(id, record.startedAt));
}
