import { suite } from "@tsbox/harness";
import type { Container, ExitStatus, RestartPolicy } from "@tsbox/kernel";
import * as assert from "uvu/assert";
import { afterEnd, wantsAfterBoot } from "../src/restart-policy.ts";

const test = suite("containers: restart policies");
const exit = (code: number, at: number): ExitStatus => ({ code, signal: null, outOfMemory: false, at });
const record = (name: RestartPolicy["name"], more: Partial<Container> = {}, maximumRetryCount = 0): Container =>
  ({
    config: { restart: { name, maximumRetryCount }, autoRemove: false },
    restart: { stopped: false, backoff: 0, wanted: false, at: null },
    restartCount: 0,
    startedAt: 0,
    exit: null,
    ...more,
  }) as Container;

test("the wait is 100 ms, doubles to a minute, and begins anew after ten seconds of running", () => {
  let now = 0;
  let known = record("always");
  const waits: number[] = [];
  for (let round = 0; round < 12; round += 1) {
    const next = afterEnd(known, exit(1, now + 5), now + 5);
    assert.is(next.status, "restarting");
    assert.is(next.restartCount, round + 1);
    assert.is(next.restart.at, now + 5 + next.restart.backoff);
    waits.push(next.restart.backoff);
    now += 5 + next.restart.backoff;
    known = { ...known, ...next, startedAt: now };
  }
  assert.equal(waits, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000]);
  assert.is(afterEnd(known, exit(1, now + 9_999), now).restart.backoff, 60_000);
  assert.is(afterEnd(known, exit(1, now + 10_000), now).restart.backoff, 100);
});

test("restarts depend on policy, exit code, count, and whether the user stopped it", () => {
  const ends = (of: Container, code: number): string => afterEnd(of, exit(code, 1), 1).status;
  assert.is(ends(record("no"), 1), "exited");
  assert.is(ends(record("always"), 0), "restarting");
  assert.is(ends(record("unless-stopped"), 0), "restarting");
  assert.is(ends(record("on-failure"), 0), "exited");
  assert.is(ends(record("on-failure"), 1), "restarting");
  assert.is(ends(record("on-failure", { restartCount: 2 }, 3), 1), "restarting");
  assert.is(ends(record("on-failure", { restartCount: 3 }, 3), 1), "exited");
  const stopped = { restart: { stopped: true, backoff: 0, wanted: false, at: null } };
  for (const name of ["always", "unless-stopped", "on-failure"] as const) assert.is(ends(record(name, stopped), 1), "exited");
});

test("after a restart of the host: always, and what the user had not stopped, if it ever ran", () => {
  const stopped = { restart: { stopped: true, backoff: 0, wanted: false, at: null } };
  assert.ok(wantsAfterBoot(record("always", stopped)));
  assert.ok(wantsAfterBoot(record("unless-stopped")));
  assert.not.ok(wantsAfterBoot(record("unless-stopped", stopped)));
  assert.ok(wantsAfterBoot(record("on-failure", { exit: exit(255, 1) })));
  assert.not.ok(wantsAfterBoot(record("on-failure", { exit: exit(0, 1) })));
  assert.not.ok(wantsAfterBoot(record("no")));
  assert.not.ok(wantsAfterBoot(record("always", { startedAt: null })));
});
