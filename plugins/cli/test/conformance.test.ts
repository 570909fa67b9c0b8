/** `tsbox conformance` with packages like a third party's: a directory with a manifest. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Case, needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import { type ApiService, createCall, silentLog } from "@tsbox/kernel";
import { dispatch, runsLocally } from "../src/dispatch.ts";

const test = suite("tsbox conformance");

/** A storage driver that opens, but refuses every verb. */
const refusing = `
const refuse = async () => { throw new Error("no"); };
export default {
  parseConfig: () => null,
  setup(context) {
    context.provideDriver("storage", "refusing", {
      open: async () => ({ powers: [], prepare: refuse, view: refuse, mounts: refuse, commit: refuse, remove: refuse, stat: refuse, usage: refuse, list: refuse }),
    });
  },
};`;

function thirdParty(current: Case): string {
  const directory = temporaryDirectory(current);
  const manifest = { kernel: "^1.0", provides: { "storage/refusing": "1.0.0" } };
  writeFileSync(join(directory, "package.json"), JSON.stringify({ type: "module", main: "index.js", tsbox: manifest }));
  writeFileSync(join(directory, "index.js"), refusing);
  return directory;
}

async function tsbox(workingDirectory: string, ...argv: readonly string[]) {
  const written = { out: "", err: "" };
  const keep = (stream: "out" | "err") => async (text: string | Uint8Array) => {
    written[stream] += String(text);
  };
  const none = (): Promise<never> => Promise.reject(new Error("starts no container"));
  const io = {
    call: createCall(silentLog),
    environment: {},
    workingDirectory,
    terminals: [false, false, false] as const,
    size: null,
    detachKeys: () => null,
    logins: async () => ({}),
    out: keep("out"),
    err: keep("err"),
    session: { runAttached: none, attach: none, runExec: none },
  };
  return { code: await dispatch(io, {} as ApiService, argv), ...written };
}

test("it is for the user's own process, its help is not", () => {
  assert.equal(runsLocally(["--debug", "conformance", "storage", "overlay"]), true);
  assert.equal(runsLocally(["conformance", "--help"]), false);
  assert.equal(runsLocally(["run", "image", "conformance"]), false);
});

test.skipIf(needsRoot(), "a driver that breaks rules: exit code 1, and a report that says which", async (current) => {
  const directory = thirdParty(current);
  const { code, out, err } = await tsbox(directory, "conformance", "storage", "./", "-o", "report.tap");
  assert.equal(code, 1);
  assert.equal(out, "");
  assert.match(err, /^storage\/refusing: \d+ passed, [1-9]\d* failed, \d+ skipped\n$/);
  assert.match(readFileSync(join(directory, "report.tap"), "utf8"), /^not ok \d+ - storage\/child-inherits: /m);
});

test.skipIf(needsRoot(), "one of the engine's list, by its id", async (current) => {
  const { code, out } = await tsbox(temporaryDirectory(current), "conformance", "storage", "vfs", "--format", "json");
  assert.equal(code, 0);
  assert.equal(JSON.parse(out).failed, 0);
});

test("what can't be found or read is one line", async (current) => {
  const directory = temporaryDirectory(current);
  for (const [words, wrong] of [
    [["storage", "nowhere"], /^tsbox: plugin tsbox-storage-nowhere is not installed; run: npm install tsbox-storage-nowhere\n$/],
    [["storage", "vfs", "--format", "yaml"], /^tsbox: no such format of a report: yaml; there are tap, junit and json\n$/],
  ] as const) {
    const { code, err } = await tsbox(directory, "conformance", ...words);
    assert.notEqual(code, 0);
    assert.match(err, wrong);
  }
});
