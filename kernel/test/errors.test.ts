import assert from "node:assert/strict";
import { suite } from "@tsbox/harness";
import {
  createCall,
  deriveCall,
  errorCodes,
  exhaustion,
  fail,
  isTsboxError,
  parseActiveKey,
  parseContainerId,
  parseDigest,
  silentLog,
  systemCode,
  TsboxError,
  withCleanup,
  withMounts,
} from "../src/index.ts";

const test = suite("errors, words, calls");

test("a used-up quota is known by its number: Node has no name for it", () => {
  // What Node throws for a write beyond a quota.
  const error = Object.assign(new Error("UNKNOWN: unknown error, write"), { code: "UNKNOWN", errno: -122, syscall: "write" });
  assert.equal(systemCode(error), "EDQUOT");
  const told = exhaustion(error);
  assert.equal(told?.code, "ResourceExhausted");
  assert.match(told?.message ?? "", /disk quota/);
  assert.equal(systemCode(Object.assign(new Error("full"), { code: "ENOSPC", errno: -28 })), "ENOSPC");
  assert.equal(systemCode(Object.assign(new Error("unknown"), { code: "UNKNOWN", errno: -999 })), "UNKNOWN");
  assert.equal(systemCode("no error"), undefined);
  assert.equal(exhaustion(new Error("no system call")), null);
});

test("two copies of the kernel know each other's errors", () => {
  const foreign = Object.assign(new Error("x"), { code: "NotFound" });
  assert.equal(isTsboxError(foreign), false);
  Reflect.set(foreign, Symbol.for("tsbox.error"), true);
  assert.equal(isTsboxError(foreign), true);
  assert.equal(isTsboxError(Object.assign(foreign, { code: "NoSuchCode" })), false);
  assert.ok(errorCodes.every((code) => isTsboxError(fail(code, "x"))));
});

test("a copy that says more keeps the stack and what was said", () => {
  const first = fail("NotFound", "x", { errno: 2, cause: 1 });
  const more = first.with({ plugin: "p" });
  assert.deepEqual([more.code, more.errno, more.cause, more.plugin, more.stack], ["NotFound", 2, 1, "p", first.stack]);
});

test("clean-up runs in reverse, always, and never hides the first error", async () => {
  const seen: string[] = [];
  const failing = withCleanup(async (cleanup) => {
    cleanup.always(() => seen.push("always"));
    cleanup.undo(() => {
      seen.push("undo");
      throw new Error("second");
    });
    throw fail("NotFound", "first");
  });
  await assert.rejects(
    failing,
    (error) => error instanceof TsboxError && error.code === "NotFound" && error.suppressed?.[0]?.message === "second",
  );
  assert.deepEqual(seen, ["undo", "always"]);
  assert.equal(
    await withCleanup(async (cleanup) => {
      cleanup.undo(() => assert.fail("not after success"));
      return 3;
    }),
    3,
  );
  await assert.rejects(
    withCleanup(async (cleanup) => cleanup.always(() => Promise.reject(new Error("late")))),
    /late/,
  );
});

test("mounts are closed whatever happens", async () => {
  const seen: string[] = [];
  const host = {
    open: async (): Promise<string> => "/root",
    close: async (_call: unknown, root: string): Promise<void> => void seen.push(root),
  };
  const use = withMounts(createCall(silentLog), host, [], async () => {
    throw new Error("use");
  });
  await assert.rejects(use, /use/);
  assert.deepEqual(seen, ["/root"]);
});

test("words", () => {
  assert.equal(parseContainerId("a".repeat(64)), "a".repeat(64));
  for (const bad of ["", ".x", "a/b", "a b", "x".repeat(201), "é", "a\n"])
    assert.throws(() => parseActiveKey(bad), /is not a snapshot's key/);
  assert.throws(() => parseDigest("sha256:zz"), /is not a digest/);
});

test("a call's signal knows its deadline and its caller", async () => {
  const call = createCall(silentLog, { timeout: 5 });
  const keepAlive = setTimeout(() => undefined, 1_000);
  await new Promise((done) => call.signal.addEventListener("abort", done));
  clearTimeout(keepAlive);
  assert.equal(call.signal.reason.code, "DeadlineExceeded");
  const controller = new AbortController();
  const derived = deriveCall(createCall(silentLog, { signal: controller.signal }), { timeout: 10_000 });
  assert.ok(derived.deadline < Number.POSITIVE_INFINITY);
  controller.abort();
  assert.equal(derived.signal.reason.code, "Canceled");
});
