import { suite } from "@tsbox/harness";
import { isTsboxError, signalNumber } from "@tsbox/kernel";
import * as assert from "uvu/assert";
import { checkName, inventName } from "../src/names.ts";
import { capabilitiesOf } from "../src/spec/build.ts";
import { givenCapabilities, hostCapabilities } from "../src/spec/defaults.ts";
import { resolveFrom } from "../src/spec/user.ts";

const test = suite("containers: names, users, capabilities, signals");
const invalid = (error: unknown): boolean => isTsboxError(error) && error.code === "InvalidArgument";

const passwd = "root:x:0:0:root:/root:/bin/bash\napp:x:1000:1001::/srv/app:/bin/sh\n# a comment\nbroken\n7:x:70:71::/seven:\n";
const group = "root:x:0:\nstaff:x:50:app,root\napp:x:1001:\nextra:x:60:app\n";

test("a user is looked up in the container's own files, as Docker does", () => {
  assert.equal(resolveFrom("", passwd, group), { uid: 0, gid: 0, additionalGids: [0, 50], home: "/root" });
  assert.equal(resolveFrom("app", passwd, group), { uid: 1000, gid: 1001, additionalGids: [1001, 50, 60], home: "/srv/app" });
  assert.equal(resolveFrom("app:", passwd, group), resolveFrom("app", passwd, group));
  assert.equal(resolveFrom("app:staff", passwd, group), { uid: 1000, gid: 50, additionalGids: [50], home: "/srv/app" });
  assert.equal(resolveFrom("1234:99", passwd, group), { uid: 1234, gid: 99, additionalGids: [99], home: "/" });
  assert.equal(resolveFrom("7", passwd, group).uid, 70, "a name that looks like a number is a name");
  assert.equal(resolveFrom("1234", "", ""), { uid: 1234, gid: 0, additionalGids: [0], home: "/" });
  assert.throws(() => resolveFrom("nobody-here", passwd, group), invalid);
  assert.throws(() => resolveFrom("app:nogroup", passwd, group), invalid);
  assert.throws(() => resolveFrom("4294967296", passwd, group), invalid);
});

test("capabilities are Docker's fourteen, less what is dropped, plus what is added", () => {
  const of = (capAdd: readonly string[], capDrop: readonly string[], privileged = false): readonly string[] =>
    capabilitiesOf({ capAdd, capDrop, privileged });
  assert.is(of([], []).length, 14);
  assert.equal(of(["net_admin"], ["ALL"]), ["CAP_NET_ADMIN"]);
  assert.not.ok(of(["ALL"], ["CAP_SYS_ADMIN"]).includes("CAP_SYS_ADMIN"));
  assert.equal(of([], [], true), hostCapabilities());
  assert.equal(of(["ALL"], []), hostCapabilities());
  assert.is(givenCapabilities("CapBnd:\t000001ffffffffff\n").length, 41);
  // Without CAP_SYS_RESOURCE, and with one that this engine has no name for.
  const fewer = givenCapabilities("CapBnd:\t000003fffeffffff\n");
  assert.is(fewer.length, 40);
  assert.not.ok(fewer.includes("CAP_SYS_RESOURCE"));
  assert.throws(() => of(["nonsense"], []), invalid);
});

test("names are Docker's, and one that is made up is free", () => {
  assert.is(checkName("/web-1.a_b"), "web-1.a_b");
  for (const wrong of ["", "a", "-web", "a b", "é", "../x"]) assert.throws(() => checkName(wrong), invalid);
  let asked = 0;
  const name = inventName(() => asked++ < 20);
  assert.is(checkName(name), name);
});

test("signals by name and number", () => {
  assert.equal(["9", "KILL", "sigterm", "SIGRTMIN+3", "RTMAX-1", "CLD"].map(signalNumber), [9, 9, 15, 37, 63, 17]);
  for (const wrong of ["0", "65", "SIGNOPE", "", "RTMIN+99"]) assert.throws(() => signalNumber(wrong), invalid);
});
