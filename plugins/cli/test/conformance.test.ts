/** `tsbox conformance` with packages like a third party's: a directory with a manifest. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Case, needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import { type ApiService, createCall, silentLog } from "@tsbox/kernel";
import { dispatch, runsLocally } from "../src/dispatch.ts";

const test = suite("tsbox conformance");

/** Two storage drivers that open, but refuse every verb. One wants a config. */
const refusing = `
const refuse = async () => { throw new Error("no"); };
const verbs = { powers: [], prepare: refuse, view: refuse, mounts: refuse, commit: refuse, remove: refuse, stat: refuse, usage: refuse, list: refuse };
export default {
  parseConfig: (raw) => raw ?? {},
  setup(context) {
    context.provideDriver("storage", "refusing", { open: async () => verbs });
    context.provideDriver("storage", "picky", {
      probe: async () => context.config.dry ? { usable: false, reason: "it is dry", hint: null } : { usable: true },
      open: async () => verbs,
    });
  },
};`;

/** `ids`: what the manifest promises. */
function thirdParty(current: Case, ...ids: readonly string[]): string {
  const directory = temporaryDirectory(current);
  const manifest = { kernel: "^1.0", provides: Object.fromEntries(ids.map((id) => [`storage/${id}`, "1.0.0"])) };
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
  const directory = thirdParty(current, "refusing");
  const { code, out, err } = await tsbox(directory, "conformance", "storage", "./", "-o", "report.tap");
  assert.equal(code, 1);
  assert.equal(out, "");
  assert.match(err, /^storage\/refusing: \d+ passed, [1-9]\d* failed, \d+ skipped\n$/);
  assert.match(readFileSync(join(directory, "report.tap"), "utf8"), /^not ok \d+ - storage\/child-inherits: /m);
});

test.skipIf(needsRoot(), "one of the engine's list, by its id", async (current) => {
  const { code, out } = await tsbox(temporaryDirectory(current), "conformance", "storage", "vfs", "--format", "json");
  assert.equal(code, 0);
  const report = JSON.parse(out);
  assert.equal(report.failed, 0);
  const killed = report.outcomes.find((outcome: { rule: string }) => outcome.rule === "storage/killed-in-commit");
  assert.equal(killed.result, "passed");
  assert.match(killed.contract, /^kernel\/src\/contract\/storage\.ts, /);
});

test.skipIf(
  needsRoot(),
  "one of several drivers of a package, with a config: JSON or a file; a host that can't use it is one skip",
  async (current) => {
    const directory = thirdParty(current, "refusing", "picky");
    writeFileSync(join(directory, "dry.json"), `{"dry": true}`);
    for (const config of [`{"dry": true}`, "dry.json"]) {
      const { code, out, err } = await tsbox(directory, "conformance", "--package", "./", "--config", config, "storage", "picky");
      assert.equal(
        out,
        "TAP version 14\n1..1\nok 1 - storage/opens: the driver opens, or its probe says why this host can't use it # SKIP storage/picky can't be used here: it is dry\n",
      );
      assert.equal(err, "storage/picky: 0 passed, 0 failed, 1 skipped\n");
      assert.equal(code, 1, "a host on which nothing was checked proves nothing");
    }
    const { err } = await tsbox(directory, "conformance", "--package", directory, "storage", "picky");
    assert.match(err, /^storage\/picky: \d+ passed, [1-9]\d* failed/);
  },
);

test("what can't be found or read is one line", async (current) => {
  const directory = thirdParty(current, "refusing", "picky");
  for (const [words, wrong] of [
    [["storage", "nowhere"], /^tsbox: plugin tsbox-storage-nowhere is not installed; run: npm install tsbox-storage-nowhere\n$/],
    [["storage", "vfs", "--format", "yaml"], /^tsbox: no such format of a report: yaml; there are tap, junit and json\n$/],
    [["storage", "./"], /^tsbox: \S+ provides several storage drivers: run .*--package \S+ storage ID with one of refusing, picky\n$/],
    [
      ["--package", "./", "storage", "other"],
      /^tsbox: \S+ provides no storage driver other; it provides storage\/refusing, storage\/picky\n$/,
    ],
    [["storage", "vfs", "--config", "{"], /^tsbox: --config takes JSON or a file that holds it, and can't read this: .*\n$/],
    [["storage", "vfs", "--config", "gone.json"], /^tsbox: --config takes .*, and can't read \S+gone\.json: ENOENT.*\n$/],
    [["weather", "rain", "--package", "./"], /^tsbox: \S+ provides no weather driver rain; it provides/],
  ] as const) {
    const { code, err } = await tsbox(directory, "conformance", ...words);
    assert.notEqual(code, 0);
    assert.match(err, wrong);
  }
});
