/**
 * Health checks: a command that is run in a container from time to time, and what its last answers make of the container. Milliseconds
 * throughout.
 */

import type { ExecId } from "../words.ts";

/** As Docker's HEALTHCHECK. */
export interface HealthCheck {
  /** `["CMD", …]`, `["CMD-SHELL", "…"]`. */
  readonly test: readonly string[];
  /** Between the end of one probe and the next. */
  readonly interval: number;
  readonly timeout: number;
  /** For so long after a start failures do not count, and `startInterval` stands for `interval` until the first success. */
  readonly startPeriod: number;
  readonly startInterval: number;
  /** So many failures in a row make it unhealthy. */
  readonly retries: number;
}
/** What the user asked for: nothing (the image's own), none at all (`["NONE"]`), or parts that go before the image's. */
export type HealthRequest = { readonly [Part in keyof HealthCheck]?: HealthCheck[Part] | undefined };

/**
 * What becomes of a container that turned unhealthy: `restart` stops it and starts it anew, whatever its restart policy, with that policy's
 * waits; `stop` as a user would; `kill` as if it had died, so its restart policy decides.
 */
export type OnUnhealthy = "none" | "restart" | "stop" | "kill";

export interface Health {
  readonly status: "starting" | "healthy" | "unhealthy";
  /** Failures in a row. */
  readonly failingStreak: number;
  /** The last five, the oldest first. */
  readonly log: readonly HealthResult[];
  /** What looks now. A daemon that finds one of its predecessor's ends it: nobody else knows how long it may take. */
  readonly probe: ExecId | null;
}
export interface HealthResult {
  readonly startedAt: number;
  readonly endedAt: number;
  /** -1: it could not be run, or took too long. */
  readonly exitCode: number;
  /** Standard output and error, 4096 bytes at most. */
  readonly output: string;
}
