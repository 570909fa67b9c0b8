import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { suite } from "@tsbox/harness";
import { createCall, deriveCall, fail, isTsboxError, silentLog } from "../src/index.ts";

const test = suite("calls");

test("calls that are never released leave nothing on the signal that they were made from", () => {
  const stop = new AbortController();
  for (let count = 0; count < 1000; count += 1) {
    const call = createCall(silentLog, { signal: stop.signal });
    assert.equal(call.signal.aborted, false);
    assert.equal(deriveCall(call, { log: silentLog }).signal.aborted, false);
    assert.equal(createCall(silentLog, { signal: stop.signal, timeout: 30_000 }).signal.aborted, false);
  }
  assert.ok(getEventListeners(stop.signal, "abort").length <= 1);
});

test("each of many calls gets the reason of its cancellation", () => {
  const stop = new AbortController();
  const calls = [
    createCall(silentLog, { signal: stop.signal }),
    createCall(silentLog, { signal: stop.signal, timeout: 30_000 }),
    deriveCall(createCall(silentLog), { signal: stop.signal }),
    deriveCall(createCall(silentLog, { signal: stop.signal }), { timeout: 30_000 }),
  ];
  const signals = calls.map((call) => call.signal);
  stop.abort(fail("Unavailable", "the engine stops"));
  for (const signal of signals) assert.equal(isTsboxError(signal.reason) && signal.reason.code, "Unavailable");
  assert.equal(createCall(silentLog, { signal: stop.signal, timeout: 30_000 }).signal.aborted, true);
});

test("a deadline of one's own stops a call that its caller does not", async () => {
  const call = createCall(silentLog, { signal: new AbortController().signal, timeout: 1 });
  await new Promise((resolve) => {
    const keep = setInterval(() => {}, 1000);
    call.signal.addEventListener("abort", () => {
      clearInterval(keep);
      resolve(null);
    });
  });
  assert.equal(isTsboxError(call.signal.reason) && call.signal.reason.code, "DeadlineExceeded");
});
