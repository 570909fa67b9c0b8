/** What is on disk when a user's stop or kill is answered, with a disk that is slower than everything else. */
import { setImmediate as turn } from "node:timers/promises";
import { suite, temporaryDirectory } from "@tsbox/harness";
import { type Call, type Container, type ContainerId, createCall, type StateService, signalNumber, silentLog } from "@tsbox/kernel";
import * as assert from "uvu/assert";
import { deliver, endAtOnce, endGently, type StopNeeds } from "../src/ending.ts";
import { Locks } from "../src/locks.ts";
import { Records } from "../src/records.ts";
import { afterEnd, wantsAfterBoot } from "../src/restart-policy.ts";
import { Restarts } from "../src/restart-timers.ts";
import { Unwritten } from "../src/unwritten.ts";
import { Waiters } from "../src/waiters.ts";

const test = suite("stop and kill, and the disk");
const id = "1".repeat(64) as ContainerId;
const call = createCall(silentLog);
const [term, kill] = [signalNumber("SIGTERM"), signalNumber("SIGKILL")];

const runningRecord = {
  id,
  name: "box",
  status: "running",
  pid: process.pid,
  startedAt: 1,
  restartCount: 0,
  restart: { stopped: false, backoff: 0, wanted: false, at: null },
  exit: null,
  config: { autoRemove: false, restart: { name: "unless-stopped", maximumRetryCount: 0 }, labels: {} },
} as unknown as Container;

/** An engine whose container ends at the first signal of `fatal`; writing its record takes many turns of the event loop. */
function world(directory: string, record: Container, fatal: readonly number[]) {
  const disk = new Map<ContainerId, Container>([[id, record]]);
  const state = {
    list: async () => [[id, record]],
    write: async (_call: Call, changes: readonly { readonly value: Container }[]) => {
      for (let at = 0; at < 50; at += 1) await turn();
      for (const { value } of changes) disk.set(id, value);
    },
  } as unknown as StateService;
  const records = new Records(state, directory, new Unwritten(() => {}));
  records.note(record);
  const waiters = new Waiters();
  const signal = async (_call: Call, number: number): Promise<void> => {
    if (!fatal.includes(number)) return;
    const exit = { code: 128 + number, signal: number, outOfMemory: false, at: Date.now() };
    const last = records.byId(id);
    // As in end.ts: waiting calls are answered before anything is written.
    records.note({ ...last, ...afterEnd(last, exit, exit.at), pid: null, exit });
    waiters.happened(id, "exit", exit);
  };
  const engine = {
    records,
    waiters,
    locks: new Locks(),
    starts: new Map(),
    restarts: new Restarts(),
    events: { publish: async () => {} },
    shims: { container: () => ({ signal, resume: async () => {} }) },
    call: () => call,
  } as unknown as StopNeeds;
  return { engine, onDisk: () => disk.get(id) as Container };
}

const mark = (record: Container): Container => ({ ...record, restart: { ...record.restart, stopped: true } });
const stops: Readonly<Record<string, (engine: StopNeeds) => Promise<void>>> = {
  "stop of one that obeys": (engine) => endGently(engine, call, id, () => ({ signal: term, seconds: 10 }), mark),
  "stop of one that is killed after its time": (engine) => endGently(engine, call, id, () => ({ signal: 10, seconds: 0 }), mark),
  "stop without a limit": (engine) => endGently(engine, call, id, () => ({ signal: term, seconds: -1 }), mark),
  kill: (engine) => endAtOnce(engine, call, id, false),
};

for (const [title, stop] of Object.entries(stops)) {
  test(`${title}: answered when a restart of the host would not bring it back`, async (t) => {
    const { engine, onDisk } = world(temporaryDirectory(t), runningRecord, [term, kill]);
    await stop(engine);
    assert.is(onDisk().status, "exited");
    assert.not(wantsAfterBoot(onDisk()));
  });
}

for (const [title, stop] of Object.entries(stops)) {
  test(`${title}, while it waits for its restart`, async (t) => {
    const waiting = { ...runningRecord, status: "restarting", pid: null } as const;
    const { engine, onDisk } = world(temporaryDirectory(t), waiting, []);
    await stop(engine);
    assert.is(onDisk().status, "exited");
    assert.not(wantsAfterBoot(onDisk()));
  });
}

test("without a policy no call waits for the disk", async (t) => {
  const config = { ...runningRecord.config, restart: { name: "no", maximumRetryCount: 0 } } as const;
  const { engine, onDisk } = world(temporaryDirectory(t), { ...runningRecord, config }, [kill]);
  await endAtOnce(engine, call, id, false);
  assert.is(onDisk().status, "running");
  assert.is(engine.records.byId(id).status, "exited");
});

test("a shim that does not answer: the deadline of a stop counts from its beginning", async (t) => {
  const { engine } = world(temporaryDirectory(t), runningRecord, [kill]);
  const container = engine.shims.container(runningRecord);
  const silent = {
    ...container,
    signal: (by: Call, number: number) => (number === kill ? container.signal(by, number) : new Promise(() => {})),
  };
  Object.assign(engine.shims, { container: () => silent });
  const began = performance.now();
  await endGently(engine, call, id, () => ({ signal: term, seconds: 1 }), mark);
  const took = performance.now() - began;
  assert.ok(took < 4_000, `it took ${took} ms`);
  assert.is(engine.records.byId(id).status, "exited");
});

test("a container that ignores its stop signal for a while: the stop is on disk when the kill is answered", async (t) => {
  const { engine, onDisk } = world(temporaryDirectory(t), runningRecord, []);
  await deliver(engine, call, id, term);
  assert.is(onDisk().status, "running");
  assert.ok(onDisk().restart.stopped);
});

test("any other signal is no stop", async (t) => {
  const { engine, onDisk } = world(temporaryDirectory(t), runningRecord, []);
  await deliver(engine, call, id, 10);
  assert.not(onDisk().restart.stopped);
});

test("kill beside a request that waits for a shim: it does not wait for that request", async (t) => {
  const { engine } = world(temporaryDirectory(t), { ...runningRecord, restart: { ...runningRecord.restart } }, [kill]);
  let isHeld = true;
  const held = engine.locks.run(id, () => new Promise<void>((resolve) => setTimeout(resolve, 3_000))).then(() => (isHeld = false));
  await endAtOnce(engine, call, id, false);
  assert.ok(isHeld, "the other request still has the lock");
  await held;
});
