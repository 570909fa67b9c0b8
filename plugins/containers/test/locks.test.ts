/** One lock per container: fair, with a timeout, and released in every case. */
import { suite } from "@tsbox/harness";
import { type ContainerId, fail, isTsboxError } from "@tsbox/kernel";
import * as assert from "uvu/assert";
import { Locks } from "../src/locks.ts";
import { Waiters } from "../src/waiters.ts";

const test = suite("locks and waiters");

test("one after another in the order of asking, another container beside", async () => {
  const locks = new Locks();
  const seen: string[] = [];
  const first = Promise.withResolvers<void>();
  const all = [
    locks.run("a", async () => {
      await first.promise;
      seen.push("one");
    }),
    locks.run("a", async () => {
      seen.push("two");
      throw new Error("of its own");
    }),
    locks.run("a", async () => void seen.push("three")),
  ];
  await locks.run("b", async () => void seen.push("beside"));
  first.resolve();
  const ended = await Promise.allSettled(all);
  assert.equal(seen, ["beside", "one", "two", "three"]);
  assert.equal(
    ended.map(({ status }) => status),
    ["fulfilled", "rejected", "fulfilled"],
  );
  assert.not(locks.isHeld("a"));
});

test("a wait that times out fails, and blocks no later one", async () => {
  const locks = new Locks();
  const held = Promise.withResolvers<void>();
  const holder = locks.run("a", () => held.promise);
  let ran = false;
  const late = locks.run("a", async () => (ran = true), 5).catch((error: unknown) => error);
  const patient = locks.run("a", async () => "mine", Number.POSITIVE_INFINITY);
  const error = await late;
  assert.ok(isTsboxError(error) && error.code === "Unavailable");
  held.resolve();
  await holder;
  assert.is(await patient, "mine");
  assert.not(ran);
});

test("a canceled wait ends, and is forgotten", async () => {
  const waiters = new Waiters();
  const id = "c1" as ContainerId;
  const leaver = new AbortController();
  const left = waiters.next(id, "exit", leaver.signal).catch((error: unknown) => error);
  const stays = waiters.next(id, "exit");
  leaver.abort(fail("Canceled", "gone"));
  assert.ok(isTsboxError(await left));
  assert.is(waiters.size, 1);
  waiters.happened(id, "exit", { code: 3, signal: null, outOfMemory: false, at: 1 });
  assert.is((await stays).code, 3);
  assert.is(waiters.size, 0);
});
