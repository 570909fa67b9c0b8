/** The rules about canceled verbs on real files catch drivers that break them: this driver with one bug each. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { makeRealWorld, openDriver, openToolkit, runRules, storageRules } from "@tsbox/conformance";
import { suite, temporaryDirectory } from "@tsbox/harness";
import { type Call, fail, type LayerFile, type StorageDriver } from "@tsbox/kernel";
import plugin from "../src/index.ts";

const test = suite("broken overlays");
const toolkit = await openToolkit();
const reason = "skip" in toolkit ? toolkit.skip : null;

type Verb = (call: Call, ...subject: readonly never[]) => Promise<unknown>;
const stop = (call: Call): void => call.signal.throwIfAborted();

/** `instead` is run in place of the verb if its call is canceled before it begins. */
const bugs: readonly {
  readonly verb: string;
  readonly bug: string;
  instead(call: Call, ...subject: readonly unknown[]): Promise<unknown>;
}[] = [
  { verb: "apply", bug: "is said to be done", instead: async () => ({}) },
  {
    verb: "diff",
    bug: "leaves half a layer",
    instead: async (call, _lower, _upper, into) => {
      writeFileSync((into as LayerFile).path, "half");
      stop(call);
    },
  },
  { verb: "changes", bug: "is an error of another kind", instead: () => Promise.reject(fail("Internal", "stopped")) },
  { verb: "adopt", bug: "is said to be done", instead: async () => undefined },
];

for (const { verb, bug, instead } of bugs) {
  test.skipIf(reason, `storage/canceled-${verb} catches: a canceled ${verb} ${bug}`, async (t) => {
    if ("skip" in toolkit) return;
    const { host } = toolkit;
    const open = async (_call: Call, directory: string) => {
      const { value, close } = await openDriver(plugin, "storage", "overlay", { directory, services: { host } });
      return { driver: withBug(value, verb, instead), close };
    };
    const world = makeRealWorld.bind(null, { host, directory: temporaryDirectory(t), open });
    const rules = storageRules.filter(({ id }) => id === `storage/canceled-${verb}`);
    assert.deepEqual(
      (await runRules(rules, world)).map(({ result }) => result),
      ["failed"],
    );
  });
}

function withBug(
  driver: StorageDriver,
  verb: string,
  instead: (call: Call, ...subject: readonly unknown[]) => Promise<unknown>,
): StorageDriver {
  return new Proxy(driver, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== "function") return member;
      const own = (member as Verb).bind(target);
      if (name !== verb) return own;
      return (call: Call, ...subject: readonly never[]) => (call.signal.aborted ? instead(call, ...subject) : own(call, ...subject));
    },
  });
}

test.skipIf(reason, "the toolkit closes", async () => {
  if (!("skip" in toolkit)) await toolkit.close();
});
