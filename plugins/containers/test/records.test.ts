/** Which records exist after the death of the daemon or of the host. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, temporaryDirectory } from "@tsbox/harness";
import { type Container, type ContainerId, createCall, type StateService, silentLog } from "@tsbox/kernel";
import * as assert from "uvu/assert";
import { Records } from "../src/records.ts";
import { Settling, startedAtOnce } from "../src/settling.ts";
import { Unwritten } from "../src/unwritten.ts";

const test = suite("records");
const call = createCall(silentLog);
const idOf = (at: number): ContainerId => String(at).repeat(64) as ContainerId;

const drivers = { storage: "overlay", exec: "native" };
const record = (at: number, status: Container["status"], autoRemove = false): Container =>
  ({ id: idOf(at), name: `c${at}`, status, exit: null, config: { autoRemove }, drivers, mounts: [], networks: [] }) as unknown as Container;

test("one that moved to another storage driver, which only tmpfs knows, is kept as it is there", async (t) => {
  const directory = temporaryDirectory(t);
  const moved = { ...record(1, "exited"), drivers: { ...drivers, storage: "vfs" } };
  mkdirSync(join(directory, moved.id));
  writeFileSync(join(directory, moved.id, "record.json"), JSON.stringify(moved));
  const state = { list: async () => [[moved.id, record(1, "exited")]] } as unknown as StateService;
  const records = new Records(state, directory, new Unwritten(() => {}));
  const { lost, unkept } = await records.load(call);
  assert.equal([lost, unkept.map((one) => one.drivers.storage)], [[], ["vfs"]]);
  assert.is(records.byId(moved.id).drivers.storage, "vfs");
});

test("what runs and was not on disk yet when the daemon died is kept; what was never started, or was being removed, is not", async (t) => {
  const directory = temporaryDirectory(t);
  const onTmpfs = [
    record(1, "running"),
    record(2, "paused"),
    record(3, "created"),
    record(4, "exited"),
    record(5, "running"),
    record(6, "running", true),
  ];
  for (const one of onTmpfs) {
    mkdirSync(join(directory, one.id));
    writeFileSync(join(directory, one.id, "record.json"), JSON.stringify(one));
  }
  const durable = [record(5, "created"), record(7, "created")];
  const state = { list: async () => durable.map((value) => [value.id, value] as const) } as unknown as StateService;
  const records = new Records(state, directory, new Unwritten(() => {}));
  const { lost, unkept } = await records.load(call);
  assert.equal(lost, [idOf(7)]);
  assert.equal(unkept.map(({ id }) => id).sort(), [idOf(1), idOf(2)]);
  assert.equal(
    records
      .all()
      .map(({ id, status }) => `${id[0]} ${status}`)
      .sort(),
    ["1 running", "2 paused", "5 running", "6 running", "7 created"],
  );
  assert.equal([...records.strangers()].sort(), [idOf(3), idOf(4)]);
});

test("a container that is started at once is on disk as one that runs: it ran if the host died, and was never started if only the daemon did", async (t) => {
  const directory = temporaryDirectory(t);
  const [ofHost, ofDaemon] = [1, 2].map((at) => startedAtOnce({ ...record(at, "created"), createdAt: 7, startedAt: null }));
  mkdirSync(join(directory, idOf(2)));
  const state = { list: async () => [ofHost, ofDaemon].map((value) => [value?.id, value] as const) } as unknown as StateService;
  const records = new Records(state, directory, new Unwritten(() => {}));
  assert.equal((await records.load(call)).lost, [idOf(1), idOf(2)]);
  const found = [1, 2].map((at) => records.byId(idOf(at))).map(({ status, startedAt, exit }) => [status, startedAt, exit?.code ?? null]);
  assert.equal(found, [
    ["exited", 7, 255],
    ["created", null, null],
  ]);
});

test("a wait for a container to be on disk gets its result once", async () => {
  const settling = new Settling();
  await settling.wait(idOf(1));
  const [good, bad] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  settling.add(idOf(1), good.promise);
  settling.add(idOf(2), bad.promise);
  let isSettled = false;
  const waiting = settling.wait(idOf(1)).then(() => {
    isSettled = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.is(isSettled, false);
  good.resolve();
  await waiting;
  bad.reject(new Error("EIO"));
  const failed = await settling.wait(idOf(2)).catch((error: Error) => error.message);
  assert.is(failed, "EIO");
  await settling.wait(idOf(2));
});
