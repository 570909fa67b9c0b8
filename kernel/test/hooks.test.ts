import assert from "node:assert/strict";
import { suite } from "@tsbox/harness";
import { HookRegistry } from "../src/hooks.ts";
import {
  type ContainerConfig,
  type ContainerId,
  createCall,
  fail,
  isTsboxError,
  type Logger,
  type OciSpec,
  silentLog,
} from "../src/index.ts";

const test = suite("hooks");
const call = createCall(silentLog);
const id = "c".repeat(64) as ContainerId;
const spec: OciSpec = { ociVersion: "1.2.0", process: { args: ["true"], cwd: "/" } };

test("taps run one after another in order", async () => {
  const hooks = new HookRegistry(silentLog);
  const seen: string[] = [];
  hooks.tap("a", "started", async (_call, container) => {
    await null;
    seen.push(`a ${container}`);
  });
  hooks.tap("b", "started", async () => void seen.push("b"));
  await hooks.provide("containers", "started", "observe")(call, id);
  assert.deepEqual(seen, [`a ${id}`, "b"]);
});

test("a veto stops the operation with its own code and the plugin's name", async () => {
  const hooks = new HookRegistry(silentLog);
  let later = false;
  hooks.tap("policy", "beforeCreate", async () => {
    throw fail("PermissionDenied", "only signed images");
  });
  hooks.tap("late", "beforeCreate", async () => {
    later = true;
  });
  const beforeCreate = hooks.provide("containers", "beforeCreate", "veto");
  await assert.rejects(
    beforeCreate(call, { image: "x" } as ContainerConfig, id),
    (error) => isTsboxError(error) && error.code === "PermissionDenied" && error.plugin === "policy",
  );
  assert.equal(later, false);
});

test("a throw after the point of no return is logged with the plugin's name, and the others still run", async () => {
  const logged: string[] = [];
  const log: Logger = { ...silentLog, warn: (text) => logged.push(text) };
  const hooks = new HookRegistry(log);
  let later = false;
  hooks.tap("bad", "started", async () => {
    throw new Error("boom");
  });
  hooks.tap("good", "started", async () => {
    later = true;
  });
  await hooks.provide("containers", "started", "observe")(call, id);
  assert.equal(later, true);
  assert.equal(logged.length, 1);
  assert.match(logged[0] ?? "", /hook started: bad threw: .*boom/);
});

test("a foreign throw in a veto is Internal", async () => {
  const hooks = new HookRegistry(silentLog);
  hooks.tap("bad", "beforePull", async () => {
    throw new Error("boom");
  });
  await assert.rejects(
    hooks.provide("images", "beforePull", "veto")(call, "x"),
    (error) => isTsboxError(error) && error.code === "Internal" && error.plugin === "bad",
  );
});

test("the first answer counts, and without one there is none", async () => {
  const hooks = new HookRegistry(silentLog);
  const resolveImage = hooks.provide("images", "resolveImage", "answer");
  const answer = { mediaType: "m", digest: `sha256:${"0".repeat(64)}` as never, size: 1 };
  assert.equal(await resolveImage(call, "x"), undefined);
  hooks.tap("mute", "resolveImage", async () => undefined);
  hooks.tap("first", "resolveImage", async () => answer);
  hooks.tap("second", "resolveImage", async () => {
    throw new Error("never asked");
  });
  assert.deepEqual(await resolveImage(call, "x"), answer);
});

test("a change passes from tap to tap", async () => {
  const hooks = new HookRegistry(silentLog);
  const buildSpec = hooks.provide("containers", "buildSpec", "change");
  assert.equal(await buildSpec(call, spec, id), spec);
  hooks.tap("a", "buildSpec", async (_call, given) => ({ ...given, hostname: "a" }));
  hooks.tap("b", "buildSpec", async (_call, given, container) => ({ ...given, hostname: `${given.hostname}b${container[0]}` }));
  assert.equal((await buildSpec(call, spec, id)).hostname, "abc");
});

test("a plugin is untapped while the engine runs", async () => {
  const hooks = new HookRegistry(silentLog);
  const seen: string[] = [];
  hooks.tap("a", "started", async () => void seen.push("a"));
  hooks.tap("b", "started", async () => void seen.push("b"));
  const started = hooks.provide("containers", "started", "observe");
  await started(call, id);
  hooks.untap("a");
  await started(call, id);
  assert.deepEqual(seen, ["a", "b", "b"]);
});

test("a hook has one provider and one kind", () => {
  const hooks = new HookRegistry(silentLog);
  hooks.provide("containers", "started", "observe");
  assert.throws(() => hooks.provide("other", "started", "observe"), /provided by containers already/);
  assert.throws(() => hooks.provide("other", "exited", "veto" as never), /of kind observe/);
});

test("a tap that does not answer counts as one that throws, and is notified", async () => {
  const logged: string[] = [];
  const hooks = new HookRegistry({ ...silentLog, warn: (text) => logged.push(text) }, { limit: 20, grace: 20 });
  let reason: unknown;
  hooks.tap(
    "slow",
    "beforePull",
    (inner) => new Promise(() => inner.signal.addEventListener("abort", () => (reason = inner.signal.reason))),
  );
  hooks.tap("slow", "started", () => new Promise(() => {}));
  await assert.rejects(
    hooks.provide("images", "beforePull", "veto")(call, "x"),
    (error) =>
      isTsboxError(error) && error.code === "DeadlineExceeded" && /slow did not answer the hook beforePull within/.test(error.message),
  );
  assert.ok(isTsboxError(reason) && reason.code === "DeadlineExceeded");
  await hooks.provide("containers", "started", "observe")(call, id);
  assert.match(logged[0] ?? "", /hook started: slow threw: slow did not answer the hook started within/);
});
