/**
 * Every hook of docs/hooks.md with a real container: when it runs, what is already true then, that a veto stops the operation with the
 * plugin's error, and that nothing is left behind.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Case, needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { binary, type Engine, engine, until } from "../src/engine.ts";

const test = suite("hooks", { timeout: 180_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ?? needsBusybox();

const hooks = [
  "ready",
  "beforePull",
  "resolveImage",
  "beforeCreate",
  "beforeStart",
  "buildSpec",
  "started",
  "beforeExec",
  "exited",
  "beforeRemove",
  "removed",
  "shutdown",
];

/**
 * A plugin that writes a line for each hook that runs, with what is there at that moment. The file `veto` names the hook whose tap throws;
 * `silent` the hook whose tap does not answer; `stray` the hook whose tap leaves a rejection behind.
 */
const policy = (directory: string): string => `
import { appendFileSync, existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
const word = (name) => { try { return readFileSync(join(${JSON.stringify(directory)}, name), "utf8"); } catch { return ""; } };
export default {
  parseConfig: () => null,
  setup(context) {
    const root = join(context.rootDirectory, "..");
    const state = join(context.stateDirectory, "..");
    for (const hook of ${JSON.stringify(hooks)}) {
      context.tap(hook, async (call, ...subject) => {
        const id = subject.find((each) => typeof each === "string" && /^[0-9a-f]{64}$/.test(each));
        const facts = {
          hook,
          subject: typeof subject[0] === "object" ? Object.keys(subject[0]) : subject[0],
          record: id !== undefined && existsSync(join(state, "containers", id, "record.json")),
          layer: id !== undefined && existsSync(join(root, "storage-overlay/active", "container-" + id)),
          volumes: existsSync(join(root, "volumes/volumes")) ? readdirSync(join(root, "volumes/volumes")).length : 0,
        };
        appendFileSync(join(${JSON.stringify(directory)}, "seen"), JSON.stringify(facts) + "\\n");
        if (word("stray") === hook) void Promise.reject(new Error("nobody waits for this"));
        if (word("silent") === hook) await new Promise(() => {});
        if (word("veto") === hook) throw new Error("not on my watch: " + hook);
        return hook === "buildSpec" ? { ...subject[0], hostname: "changed" } : undefined;
      });
    }
  },
};
`;

interface Seen {
  readonly hook: string;
  readonly subject: unknown;
  readonly record: boolean;
  readonly layer: boolean;
  readonly volumes: number;
}

interface World {
  readonly own: Engine;
  /** What has been seen since the last call. */
  seen(): readonly Seen[];
  /** The tap of this hook behaves so until the returned function is called. */
  set(how: "veto" | "silent" | "stray", hook: string): () => void;
}

async function world(t: Case, more: object = {}): Promise<World> {
  const directory = temporaryDirectory(t);
  const plugin = join(directory, "policy");
  mkdirSync(plugin);
  const tsbox = { kernel: "^1.0", provides: {}, needs: {} };
  writeFileSync(
    join(plugin, "package.json"),
    JSON.stringify({ name: "policy", version: "1.0.0", type: "module", exports: "./index.js", tsbox }),
  );
  writeFileSync(join(plugin, "index.js"), policy(directory));
  const config = join(directory, "config.json");
  writeFileSync(config, JSON.stringify({ plugins: [{ name: "policy", package: plugin }], ...more }));
  const own = await engine(t, config);
  const file = join(directory, "seen");
  return {
    own,
    seen: () => {
      const text = existsSync(file) ? readFileSync(file, "utf8") : "";
      rmSync(file, { force: true });
      return text
        .split("\n")
        .filter(Boolean)
        .map((line) => JSON.parse(line) as Seen);
    },
    set: (how, hook) => {
      writeFileSync(join(directory, how), hook);
      return () => rmSync(join(directory, how));
    },
  };
}

const shown = (seen: readonly Seen[]): readonly string[] =>
  seen.map(({ hook, record, layer }) => [hook, record ? "record" : "", layer ? "layer" : ""].filter(Boolean).join(" "));

test.skipIf(reason, "each runs at its moment of a container's life", async (t) => {
  const { own, seen } = await world(t);
  assert.equal(shown(seen()), ["ready"]);
  await own.ok(["import", "-", "bb"], { input: busyboxTar(t) });
  assert.equal(shown(seen()), []);
  await own.ok(["create", "--name", "box", "--net", "none", "bb", "sh", "-c", "hostname; sleep 1000"]);
  const [created, ...rest] = seen();
  assert.equal([shown([created as Seen]), rest], [["beforeCreate"], []]);
  assert.ok(((created as Seen).subject as string[]).includes("entrypoint"));
  await own.ok(["start", "box"]);
  assert.equal(shown(seen()), ["beforeStart record layer", "buildSpec record layer", "started record layer"]);
  await until(async () => (await own.ok(["logs", "box"])) === "changed\n", "the changed spec");
  await own.ok(["exec", "box", "true"]);
  assert.equal(shown(seen()), ["beforeExec record layer"]);
  await own.ok(["stop", "-t", "0", "box"]);
  assert.equal(shown(seen()), ["exited record layer"]);
  await own.ok(["rm", "box"]);
  assert.equal(shown(seen()), ["beforeRemove record layer", "removed"]);
  await own.run(["pull", "localhost:1/nosuch"]);
  assert.equal(shown(seen()), ["beforePull", "resolveImage"]);
  await own.stop();
  assert.equal(shown(seen()), ["shutdown"]);
});

test.skipIf(reason, "a veto stops the operation with its error, and nothing is left behind", async (t) => {
  const { own, seen, set } = await world(t);
  await own.ok(["import", "-", "bb"], { input: busyboxTar(t) });
  const refused = async (hook: string, argv: readonly string[]): Promise<void> => {
    const end = set("veto", hook);
    const { code, stderr } = await own.run(argv);
    end();
    assert.ok(code !== 0, `${argv.join(" ")} was not stopped`);
    assert.match(stderr, new RegExp(`policy failed: not on my watch: ${hook}`));
  };
  const none = async (): Promise<void> => {
    assert.is(await own.ok(["ps", "-aq"]), "");
    assert.is(await own.ok(["volume", "ls", "-q"]), "");
    await until(() => own.shims().length === 0, "the shims to end");
  };
  await refused("beforeCreate", ["run", "--rm", "--net", "none", "-v", "/anonymous", "-v", "named:/data", "bb", "true"]);
  assert.is(seen().at(-1)?.volumes, 0);
  await none();
  for (const hook of ["beforeStart", "buildSpec"]) {
    await refused(hook, ["run", "--rm", "--net", "none", "bb", "true"]);
    await none();
  }
  await refused("beforePull", ["pull", "localhost:1/nosuch"]);
  await refused("resolveImage", ["pull", "localhost:1/nosuch"]);
  await own.ok(["create", "--name", "box", "--net", "none", "bb", "sleep", "1000"]);
  await refused("beforeStart", ["start", "box"]);
  assert.is((await own.inspect("box")).State.Status, "created");
  await own.ok(["start", "box"]);
  await refused("beforeExec", ["exec", "box", "true"]);
  assert.equal((await own.inspect("box")).State.Running, true);
  await own.ok(["stop", "-t", "0", "box"]);
  await refused("beforeRemove", ["rm", "box"]);
  await own.ok(["start", "box"]);
  // It is asked before anything is ended.
  await refused("beforeRemove", ["rm", "-f", "box"]);
  await own.ok(["rm", "-f", "box"]);
  await none();
  // Hooks that observe stop nothing.
  for (const hook of ["started", "exited", "removed"]) {
    const end = set("veto", hook);
    await own.ok(["run", "--rm", "--net", "none", "bb", "true"]);
    end();
    await until(() => own.log.includes(`hook ${hook}: policy threw`), `the log to name ${hook}`);
    await none();
  }
});

test.skipIf(reason, "a tap that does not answer is given up, and a rejection that it leaves is logged under its name", async (t) => {
  const { own, set } = await world(t, { deadlines: { hook: 0.5 } });
  await own.ok(["import", "-", "bb"], { input: busyboxTar(t) });
  const end = set("silent", "beforeStart");
  const { code, stderr } = await own.run(["run", "--rm", "--net", "none", "bb", "true"]);
  end();
  assert.is(code, 124);
  assert.match(stderr, /policy did not answer the hook beforeStart within 0\.5 s/);
  const last = set("stray", "started");
  await own.ok(["run", "--rm", "--net", "none", "bb", "true"]);
  last();
  await until(() => /error policy left a rejection unhandled: Error: nobody waits for this/.test(own.log), "the log");
  assert.is(await own.ok(["ps", "-aq"]), "");
});
