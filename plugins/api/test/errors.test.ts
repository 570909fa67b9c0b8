/** The answer for a failure that is not a TsboxError. */
import { suite } from "@tsbox/harness";
import { fail } from "@tsbox/kernel";
import * as assert from "uvu/assert";
import { failureOf } from "../src/http/errors.ts";

const test = suite("api: failures");

test("a resource that the host lacks is no defect: the message says what to do", () => {
  const full = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC", errno: -28, syscall: "write" });
  assert.equal(failureOf(full), { status: 503, message: "no space left on device: make some (rm, rmi, system prune), then repeat" });
});

test("our own errors have their status, the framework's keep theirs, and all else is 500", () => {
  assert.is(failureOf(fail("NotFound", "no such thing")).status, 404);
  assert.is(failureOf(Object.assign(new Error("too long"), { statusCode: 413 })).status, 413);
  assert.is(failureOf(new Error("a bug")).status, 500);
});
