/** A suite as a library: usable drivers, unusable ones, and where each rule stands in the contract. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import { isTsboxError, type Plugin, type Probe } from "@tsbox/kernel";
import {
  suite as conformance,
  execRules,
  logRules,
  networkRules,
  placeOf,
  registryRules,
  storageRules,
  type TestRunner,
  toTap,
  volumeRules,
} from "../src/index.ts";

const test = suite("conformance: suites");

const plugin = (open: () => Promise<unknown>, probe: Probe = { usable: true }): Plugin => ({
  parseConfig: () => null,
  setup: (context) => context.provideDriver("volume", "odd", { probe: async () => probe, open: open as () => Promise<never> }),
});
const refuse = async (): Promise<never> => Promise.reject(new Error("no"));
const refusing = plugin(async () => ({
  powers: [],
  ...Object.fromEntries("create remove attach detach stat usage list".split(" ").map((verb) => [verb, refuse])),
}));

/** What a test runner gets: each case's name, and how it ends. */
async function cases(target: Parameters<typeof conformance>[0]): Promise<readonly string[]> {
  const found: { readonly name: string; readonly body: Parameters<TestRunner>[1] }[] = [];
  (await conformance(target)).register((name, body) => found.push({ name, body }));
  const ended: string[] = [];
  for (const { name, body } of found) {
    let end = "passed";
    const skip = (reason: string): void => {
      end = `skipped: ${reason}`;
    };
    await body({ skip }).catch((error: unknown) => {
      end = `failed: ${(error as Error).message}`;
    });
    ended.push(`${name.slice(0, name.indexOf(":"))} ${end}`);
  }
  return ended;
}

test("a kind without a suite is refused with a message", async () => {
  await assert.rejects(
    conformance({ kind: "weather", id: "rain", plugin: refusing }),
    (error) =>
      isTsboxError(error) &&
      error.code === "Unsupported" &&
      error.message.includes("there is one for storage, exec, network, volume, log, registry"),
  );
});

test.skipIf(needsRoot(), "a host that can't use the driver is one skip with the reason, in a report and as a case", async (t) => {
  const directory = temporaryDirectory(t);
  const unusable = plugin(refuse, { usable: false, reason: "needs rain; it is dry", hint: "wait" });
  const target = { kind: "volume", id: "odd", plugin: unusable, directory };
  const why = "volume/odd can't be used here: needs rain; it is dry; wait";
  assert.deepEqual(await cases(target), [`volume/opens skipped: ${why}`]);
  const made = await conformance(target);
  assert.equal(made.unusable, why);
  assert.equal(
    toTap(await made.run()),
    `TAP version 14\n1..1\nok 1 - volume/opens: the driver opens, or its probe says why this host can't use it # SKIP ${why}\n`,
  );
});

test.skipIf(needsRoot(), "a driver that does not open is one failure, not one for each rule", async (t) => {
  const target = { kind: "volume", id: "odd", plugin: plugin(() => Promise.reject(new Error("boom"))), directory: temporaryDirectory(t) };
  assert.deepEqual(await cases(target), ["volume/opens failed: boom"]);
  const { outcomes } = await (await conformance(target)).run();
  assert.deepEqual(
    outcomes.map(({ rule, result, reason, contract }) => [rule, result, reason, contract]),
    [["volume/opens", "failed", "boom", "kernel/src/contract/plugin.ts, Provider.probe"]],
  );
});

test.skipIf(needsRoot(), "a driver that opens is held to each rule", async (t) => {
  const target = { kind: "volume", id: "odd", plugin: refusing, directory: temporaryDirectory(t) };
  const ended = await cases(target);
  assert.equal(ended[0], "volume/opens passed");
  assert.equal(ended.length, volumeRules.length + 2);
  assert.ok(ended.some((line) => line.startsWith("volume/name-taken failed: ")));
  const { outcomes } = await (await conformance(target)).run();
  assert.equal(outcomes.length, volumeRules.length + 1);
});

/** The contract's file as plain text: doc comments without their stars, in one line. */
const textOf = (path: string): string =>
  readFileSync(new URL(`../../${path}`, import.meta.url), "utf8")
    .replaceAll(/^\s*\/?\*+ ?/gm, "")
    .replaceAll(/\s+/g, " ");

function stands(place: string): boolean {
  if (/^OCI runtime spec, (config|config-linux|runtime)\.md#[a-z-]+$/.test(place)) return true;
  const [, path = "", inside = ""] = /^(\S+), (.*)$/.exec(place) ?? [];
  const text = textOf(path);
  if (inside.startsWith('"')) return text.includes(JSON.parse(inside) as string);
  const [name = "", member] = inside.split(".");
  const from = new RegExp(`export (interface|type) ${name}\\b`).exec(text);
  if (from === null) return false;
  const body = text.slice(from.index).split(/ export /)[0] ?? "";
  return member === undefined || new RegExp(`[ {]${member}[(:?]`).test(body);
}

test("each rule says where the contract makes its promise, and that place is there", () => {
  for (const rule of [...storageRules, ...execRules, ...networkRules, ...volumeRules, ...logRules, ...registryRules])
    assert.ok(stands(placeOf(rule)), `${rule.id}: ${placeOf(rule)}`);
  assert.ok(!stands("kernel/src/contract/storage.ts, StorageDriver.fly"));
  assert.ok(!stands('kernel/src/contract/storage.ts, "it flies"'));
});
