import assert from "node:assert/strict";
import { suite } from "@tsbox/harness";
import { createCall, type EngineEvent, fail, isTsboxError, silentLog } from "@tsbox/kernel";
import { eventsService } from "../src/index.ts";

const test = suite("events");
const call = createCall(silentLog);
const event = { type: "container", action: "x", id: "a", attributes: {} } as const;

async function all(stream: AsyncIterable<EngineEvent>): Promise<number> {
  let count = 0;
  for await (const _ of stream) count += 1;
  return count;
}

test("an end alone selects past events; neither selects none", async () => {
  const events = eventsService();
  await events.publish(call, event);
  assert.equal(await all(await events.subscribe(call, { until: Date.now() })), 1);
  assert.equal(await all(await events.subscribe(call, { since: 1, until: Date.now() })), 1);
});

test("an unread stream keeps nothing when its call is over, and only a bounded number before", async () => {
  const events = eventsService();
  const stop = new AbortController();
  const left = await events.subscribe(createCall(silentLog, { signal: stop.signal }), {});
  stop.abort(fail("Canceled", "the client is gone"));
  const slow = await events.subscribe(call, {});
  for (let count = 0; count < 20_000; count += 1) await events.publish(call, event);
  assert.equal(await all(left), 0);
  await assert.rejects(all(slow), (error: unknown) => isTsboxError(error) && error.code === "ResourceExhausted");
});
