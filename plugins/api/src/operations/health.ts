/** Docker's Healthcheck, and a container's health in Docker's JSON. */
import { type Container, type ContainerConfig, fail, type HealthRequest, type Json, type OnUnhealthy } from "@tsbox/kernel";
import { flag, type Loose, object, strings, text } from "./loose.ts";
import { time } from "./time.ts";

/** Nanoseconds of one millisecond. */
const unit = 1e6;
const actions: readonly string[] = ["none", "restart", "stop", "kill"];

type Asked = Pick<ContainerConfig, "healthRequest" | "healthCheck" | "onUnhealthy" | "shell">;

export function parseHealth(body: Json, host: Loose): Asked {
  const action = text(host, "TsboxOnUnhealthy") || "none";
  if (!actions.includes(action))
    throw fail("InvalidArgument", `invalid action on unhealthy: '${action}'; use one of 'none', 'restart', 'stop', or 'kill'`);
  if (action === "restart" && flag(host, "AutoRemove"))
    throw fail("InvalidArgument", "can't restart an 'AutoRemove' container when it is unhealthy: it is gone with its end");
  const given = body.Healthcheck;
  const healthRequest = typeof given === "object" && given !== null ? requestOf(object(body, "Healthcheck")) : null;
  // The containers plugin fills it in when the image is known.
  return { healthRequest, healthCheck: null, onUnhealthy: action as OnUnhealthy, shell: strings(body, "Shell") };
}

function requestOf(given: Loose): HealthRequest {
  const span = (key: string): number | undefined => {
    const value = typeof given[key] === "number" ? given[key] : 0;
    if (value !== 0 && value < unit) throw fail("InvalidArgument", `${key} in Healthcheck cannot be less than 1ms`);
    return value === 0 ? undefined : value / unit;
  };
  const retries = typeof given.Retries === "number" ? given.Retries : 0;
  if (retries < 0) throw fail("InvalidArgument", "Retries in Healthcheck cannot be negative");
  return {
    test: strings(given, "Test") ?? [],
    interval: span("Interval"),
    timeout: span("Timeout"),
    startPeriod: span("StartPeriod"),
    startInterval: span("StartInterval"),
    retries: retries === 0 ? undefined : retries,
  };
}

/** `State.Health`; absent for a container without a health check. */
export function showHealth({ health }: Container): Json {
  if (health === null) return {};
  return {
    Health: {
      Status: health.status,
      FailingStreak: health.failingStreak,
      Log: health.log.map(({ startedAt, endedAt, exitCode, output }) => ({
        Start: time(startedAt),
        End: time(endedAt),
        ExitCode: exitCode,
        Output: output,
      })),
    },
  };
}

/** `Config.Healthcheck` */
export function showHealthCheck({ config }: Container): Json {
  const check = config.healthCheck;
  if (check === null) return config.healthRequest?.test?.[0] === "NONE" ? { Healthcheck: { Test: ["NONE"] } } : {};
  return {
    Healthcheck: {
      Test: check.test,
      Interval: check.interval * unit,
      Timeout: check.timeout * unit,
      ...(check.startPeriod > 0 ? { StartPeriod: check.startPeriod * unit, StartInterval: check.startInterval * unit } : {}),
      Retries: check.retries,
    },
  };
}

/** The text after `Up 5 minutes`. */
export const healthWords = ({ health }: Container): string =>
  health === null ? "" : health.status === "starting" ? " (health: starting)" : ` (${health.status})`;
