/** Regular expressions of clients: they match as usual, and none of them blocks the daemon. */
import { setImmediate as turn } from "node:timers/promises";
import { suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { fits } from "../src/patterns.ts";

const test = suite("patterns of clients");

test("plain, repeated and alternative ones match", () => {
  assert.ok(fits(/^web$/, "web") && !fits(/^web$/, "webs"));
  assert.ok(fits(/^w.*b$/, "w123b") && fits(/web|worker/, "worker") && !fits(/^(web|worker)$/, "db"));
});

test("one that takes exponential time is refused, by repetition or by alternatives", () => {
  const text = `${"a".repeat(60)}c`;
  for (const source of ["^(a+)+$", `^${"(a|a)".repeat(60)}b`])
    assert.throws(() => fits(new RegExp(source), text), /takes too long: give a simpler one/);
});

test("many comparisons that are slow each have one limit together, and the next list has its own", async () => {
  const slow = (): boolean => fits(/^(a+)+b$/, `${"a".repeat(18)}c`);
  assert.throws(() => {
    for (let at = 0; at < 1_000; at += 1) slow();
  }, /takes too long/);
  await turn();
  assert.not(slow());
});

test("a long list is compared with a harmless pattern to its end", () => {
  const pattern = /^w.*b$/;
  for (let at = 0; at < 2_000; at += 1) assert.ok(fits(pattern, `w${at}b`));
});
