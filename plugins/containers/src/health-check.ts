/** Health checks as values: a container's check, and the meaning of a probe's result. All functions are pure. */
import { fail, type Health, type HealthCheck, type HealthRequest, type HealthResult } from "@tsbox/kernel";

/** How many results are kept: Docker's number. */
const kept = 5;

const defaults = { interval: 30_000, timeout: 30_000, startPeriod: 0, startInterval: 5000, retries: 3 };

/** Each part is the user's, else the image's, else Docker's default. Null: there is no check. */
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

/** A failure in the start period does not count until a probe has succeeded. */
export function afterProbe(health: Health, result: HealthResult, check: HealthCheck, startedAt: number): Health {
  const log = [...health.log, result].slice(-kept);
  if (result.exitCode === 0) return { status: "healthy", failingStreak: 0, log, probe: null };
  const early = health.status === "starting" && result.startedAt - startedAt < check.startPeriod;
  const failingStreak = early ? health.failingStreak : health.failingStreak + 1;
  return { status: failingStreak >= check.retries ? "unhealthy" : health.status, failingStreak, log, probe: null };
}

/** Milliseconds until the next probe. A start interval that is longer than the rest of the start period ends with it. */
export function nextProbe(health: Health, check: HealthCheck, startedAt: number, now: number): number {
  const last = health.log.at(-1)?.endedAt ?? startedAt;
  const periodEnd = startedAt + check.startPeriod;
  const early = health.status === "starting" && Math.max(last, now) < periodEnd;
  return Math.max(0, (early ? Math.min(last + check.startInterval, periodEnd) : last + check.interval) - now);
}
