import { suite } from "@tsbox/harness";
import { type Health, type HealthCheck, type HealthResult, isTsboxError } from "@tsbox/kernel";
import * as assert from "uvu/assert";
import { afterProbe, freshHealth, healthCheckOf, nextProbe } from "../src/health-check.ts";

const test = suite("containers: health");
const check: HealthCheck = { test: ["CMD", "x"], interval: 30_000, timeout: 1000, startPeriod: 60_000, startInterval: 5000, retries: 3 };
const result = (exitCode: number, at: number): HealthResult => ({ startedAt: at, endedAt: at + 10, exitCode, output: "" });

test("a success is healthy at once, so many failures in a row are not", () => {
  let health: Health = freshHealth;
  const probe = (code: number, at: number): string => {
    health = afterProbe(health, result(code, at), check, 0);
    return `${health.status} ${health.failingStreak}`;
  };
  assert.is(probe(1, 59_000), "starting 0", "in the start period nothing counts");
  assert.is(probe(1, 61_000), "starting 1");
  assert.is(probe(0, 62_000), "healthy 0");
  assert.is(probe(1, 63_000), "healthy 1");
  assert.is(probe(2, 64_000), "healthy 2");
  assert.is(probe(-1, 65_000), "unhealthy 3");
  assert.is(probe(1, 66_000), "unhealthy 4");
  assert.is(health.log.length, 5);
  assert.is(probe(0, 67_000), "healthy 0");
});

test("once it was healthy the start period is over", () => {
  const healthy = afterProbe(freshHealth, result(0, 1000), check, 0);
  assert.is(afterProbe(healthy, result(1, 2000), check, 0).failingStreak, 1);
});

test("the next look: the start interval in the start period, else the interval, from the last one's end", () => {
  assert.is(nextProbe(freshHealth, check, 1000, 1000), 5000);
  assert.is(nextProbe(freshHealth, { ...check, startPeriod: 0 }, 1000, 1000), 30_000);
  assert.is(
    nextProbe(freshHealth, { ...check, startPeriod: 2000 }, 1000, 1000),
    2000,
    "the start interval does not outlast the start period",
  );
  const once = afterProbe(freshHealth, result(1, 6000), check, 1000);
  assert.is(nextProbe(once, check, 1000, 6010), 5000);
  assert.is(nextProbe(once, { ...check, startPeriod: 7000 }, 1000, 6010), 2000 - 10, "it is cut short by the end of the start period");
  assert.is(nextProbe(once, { ...check, startPeriod: 5000 }, 1000, 6010), 30_000);
  assert.is(nextProbe(once, check, 1000, 70_000), 0, "it is late already");
  const healthy = afterProbe(freshHealth, result(0, 6000), check, 1000);
  assert.is(nextProbe(healthy, check, 1000, 6010), 30_000);
});

test("the user's parts go before the image's, the image's before Docker's", () => {
  assert.is(healthCheckOf(null, null), null);
  assert.is(healthCheckOf({ interval: 5 }, null), null, "no command, no check");
  assert.is(healthCheckOf({ test: ["NONE"] }, { test: ["CMD", "x"] }), null);
  assert.is(healthCheckOf(null, { test: ["NONE"] }), null);
  assert.equal(healthCheckOf({ test: [], interval: 5 }, { test: ["CMD", "x"], interval: 7, retries: 9 }), {
    test: ["CMD", "x"],
    interval: 5,
    timeout: 30_000,
    startPeriod: 0,
    startInterval: 5000,
    retries: 9,
  });
  assert.throws(
    () => healthCheckOf({ test: ["SHELL", "x"] }, null),
    (error: unknown) => isTsboxError(error) && error.code === "InvalidArgument",
  );
});
