/**
 * Health checks: a command that runs in a container from time to time, and the container's health by its last results. All times are in
 * milliseconds.
 */

import type { ExecId } from "../words.ts";

/** Docker's HEALTHCHECK. */
export interface HealthCheck {
  /** `["CMD", …]`, `["CMD-SHELL", "…"]`. */
  readonly test: readonly string[];
  /** Between the end of one probe and the start of the next. */
  readonly interval: number;
  readonly timeout: number;
  /** For this long after a start failures do not count, and `startInterval` replaces `interval` until the first success. */
  readonly startPeriod: number;
  readonly startInterval: number;
  /** This many failures in a row make the container unhealthy. */
  readonly retries: number;
}
/** The user's request: nothing (the image's check applies), no check (`["NONE"]`), or parts that override the image's. */
export type HealthRequest = { readonly [Part in keyof HealthCheck]?: HealthCheck[Part] | undefined };

/**
 * What happens to a container that becomes unhealthy. `restart`: it is stopped and started again, whatever its restart policy, with that
 * policy's back-off. `stop`: it is stopped as by a user. `kill`: it is killed, and its restart policy decides.
 */
export type OnUnhealthy = "none" | "restart" | "stop" | "kill";

export interface Health {
  readonly status: "starting" | "healthy" | "unhealthy";
  /** Failures in a row. */
  readonly failingStreak: number;
  /** The last five results, the oldest first. */
  readonly log: readonly HealthResult[];
  /** The probe that is running. A new daemon ends a probe of the one before it, since the probe's deadline is not recorded. */
  readonly probe: ExecId | null;
}
export interface HealthResult {
  readonly startedAt: number;
  readonly endedAt: number;
  /** -1: the probe could not be run, or timed out. */
  readonly exitCode: number;
  /** Standard output and error, 4096 bytes at most. */
  readonly output: string;
}
