/** A client reaches the engine whose address it was given, or none. */
import { spawnSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { type Case, needsRoot, suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { docker, dockerClient } from "../src/docker.ts";
import { alive, binary, engine, listening, until } from "../src/engine.ts";

const test = suite("which engine", { timeout: 180_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");

/** A folder for sockets, separate from the engines' own. */
function folder(t: Case): string {
  const made = mkdtempSync("/run/tsbox-test-sockets-");
  t.cleanup(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

const at = (socket: string, more: Readonly<Record<string, string>> = {}): { readonly environment: Readonly<Record<string, string>> } => ({
  environment: { TSBOX_HOST: `unix://${socket}`, ...more },
});

test.skipIf(reason, "two engines' sockets in one folder: each client reaches its own, and stops its own", async (t) => {
  const shared = folder(t);
  const [first, second] = [await engine(t, null, [], join(shared, "a.sock")), await engine(t, null, [], join(shared, "b.sock"))];
  await first.ok(["create", "--name", "of-first", "--net", "none", "host:/", "true"]);
  await second.ok(["create", "--name", "of-second", "--net", "none", "host:/", "true"]);
  const names = async (socket: string): Promise<string> => first.ok(["ps", "-a", "--format", "{{.Names}}"], at(socket));
  assert.is(await names(first.socket), "of-first\n");
  assert.is(await names(second.socket), "of-second\n");
  // The socket of the first engine under the name of the second, whose link leads to the second one's launcher.
  renameSync(second.socket, join(shared, "kept.sock"));
  renameSync(first.socket, second.socket);
  assert.is(await names(second.socket), "of-first\n");
  const refused = await first.run(["daemon", "stop"], at(second.socket, { TSBOX_STATE: "" }));
  assert.is(refused.code, 125, refused.stderr);
  assert.ok(first.running && second.running);
  renameSync(second.socket, first.socket);
  renameSync(join(shared, "kept.sock"), second.socket);
  // The state directory and the address must belong to one engine.
  const torn = await first.run(["daemon", "stop"], at(second.socket));
  assert.is(torn.code, 125);
  assert.match(torn.stderr, /does not listen on/);
  const ids = await second.ok(["ps", "-aq"]);
  await second.ok(["rm", ...ids.trim().split("\n")]);
  await second.ok(["daemon", "stop"], at(second.socket, { TSBOX_STATE: "" }));
  await until(() => !second.running, "the second to end");
  assert.ok(first.running);
  assert.not.ok(existsSync(join(shared, "b.launcher.sock")), "its link is gone with it");
  assert.is(await names(first.socket), "of-first\n");
});

test.skipIf(
  reason,
  "a foreign socket gets HTTP, though an engine of ours is beside it; and it is neither stopped nor replaced",
  async (t) => {
    const own = await engine(t);
    const asked: string[] = [];
    const foreign = createServer((request, response) => {
      asked.push(request.url ?? "");
      response.setHeader("content-type", "application/json");
      response.end("[]");
    });
    const socket = join(own.state, "docker.sock");
    await new Promise<void>((resolve) => foreign.listen(socket, resolve));
    t.cleanup(() => new Promise((resolve) => foreign.close(resolve)));
    await own.ok(["create", "--name", "ours", "--net", "none", "host:/", "true"]);
    assert.is(await own.ok(["ps", "-aq"], at(socket)), "");
    assert.ok(
      asked.some((url) => url.includes("/containers/json")),
      "it was asked",
    );
    const stopped = await own.run(["daemon", "stop"], at(socket));
    assert.is(stopped.code, 125);
    assert.ok(own.running);
    const another = mkdtempSync("/run/tsbox-test-");
    t.cleanup(() => rmSync(another, { recursive: true, force: true }));
    const started = await own.run(["daemon", "--root", join(another, "root"), "--state", another, "--host", `unix://${socket}`]);
    assert.is(started.code, 125);
    assert.match(started.stderr, /^tsbox: somebody listens on \S+docker\.sock already: .*\n$/);
    assert.ok(await listening(socket));
  },
);

test.skipIf(reason, "a socket whose engine was killed is replaced by the next one", async (t) => {
  const own = await engine(t);
  await own.killLauncher();
  assert.ok(existsSync(own.socket));
  await own.start();
  assert.is((await own.run(["version"])).code, 0);
});

test.skipIf(reason, "a state directory of 300 characters: run, exec, attach and logs, at home and over HTTP", async (t) => {
  const base = mkdtempSync("/run/tsbox-test-");
  t.cleanup(() => rmSync(base, { recursive: true, force: true }));
  const state = join(base, "s".repeat(100), "t".repeat(100), "u".repeat(100));
  mkdirSync(state, { recursive: true });
  const own = await engine(t, null, [], join(base, "short.sock"), state);
  await own.ok([
    "run",
    "-d",
    "-i",
    "--name",
    "box",
    "--net",
    "none",
    "host:/",
    "sh",
    "-c",
    "echo begun; read line; echo got $line; exit 4",
  ]);
  assert.is(await own.ok(["exec", "box", "echo", "hi"]), "hi\n");
  // Our own client handles a socket with a long path like any other.
  assert.ok(lstatSync(join(state, "launcher.sock")).isSocket());
  if (docker.reason === null) {
    assert.equal(await dockerClient(own, ["exec", "box", "echo", "hi"]), { code: 0, stdout: "hi\n", stderr: "" });
    await own.ok(["tag", "host:/", "machine:1"]);
    assert.is((await dockerClient(own, ["run", "--rm", "--net", "none", "machine:1", "echo", "there"])).stdout, "there\n");
  }
  const attached = await own.run(["attach", "box"], { input: "word\n" });
  assert.equal([attached.code, attached.stdout], [4, "got word\n"]);
  assert.is(await own.ok(["logs", "box"]), "begun\ngot word\n");
});

test.skipIf(reason, "an HTTP socket with a path of 300 characters works for every client of ours", async (t) => {
  const base = folder(t);
  const long = join(base, "s".repeat(150), "t".repeat(150));
  mkdirSync(long, { recursive: true });
  const own = await engine(t, null, [], join(long, "engine.sock"));
  assert.is((await own.run(["ps"])).code, 0);
  // Without the link the portable client connects over HTTP.
  rmSync(join(long, "engine.launcher.sock"));
  assert.is((await own.run(["ps"])).code, 0);
});

test.skipIf(reason, "help, the client's version and wrong commands need no engine, and start none", async (t) => {
  const state = join(folder(t), "none");
  const ask = (words: readonly string[]) =>
    spawnSync(binary, words as string[], {
      env: { PATH: process.env.PATH ?? "", HOME: "/root", TSBOX_STATE: state, TSBOX_ROOT: `${state}-root` },
      encoding: "utf8",
    });
  const lines = [
    "--help",
    "run --help",
    "run --rm -it --name x --help",
    "container ls --help",
    "ps -h",
    "help ps",
    "volume",
    "network --help",
    "",
  ];
  for (const line of lines) {
    const { status, stdout } = ask(line.split(" ").filter(Boolean));
    assert.equal([status, /Usage:/.test(stdout)], [0, true], line);
  }
  assert.match(ask(["completion", "bash"]).stdout, /complete/);
  assert.is(ask(["help", "nosuch"]).status, 1);
  const wrong = {
    nosuch: /^tsbox: .*nosuch/,
    "run --nosuch bb": /^tsbox: unknown flag: --nosuch/,
    "ps --format": /^tsbox: flag needs an argument: --format/,
    inspect: /^tsbox: 'tsbox inspect' requires at least 1 argument/,
    "volume nosuch": /^tsbox: /,
  };
  for (const [line, words] of Object.entries(wrong)) {
    const { status, stderr } = ask(line.split(" "));
    assert.ok(status !== 0, line);
    assert.match(stderr, words);
  }
  for (const word of ["-v", "--version"]) assert.match(ask([word]).stdout, /^tsbox version \S+\n$/);
  assert.not.ok(existsSync(state), "an engine was started");
});

test.skipIf(reason, "a check of the words that gives no answer is ended, and the command goes on", async (t) => {
  const base = folder(t);
  const pidFile = join(base, "pid");
  const silent = join(base, "node");
  writeFileSync(
    silent,
    `#!/bin/sh\ncase "$*" in *check-words*) echo $$ >${pidFile}; exec sleep 1000;; esac\nexec ${process.execPath} "$@"\n`,
    {
      mode: 0o755,
    },
  );
  const environment = {
    PATH: process.env.PATH ?? "",
    HOME: "/root",
    TSBOX_STATE: join(base, "state"),
    TSBOX_ROOT: join(base, "root"),
    TSBOX_NODE: silent,
  };
  const ask = (...words: readonly string[]) => spawnSync(binary, words, { env: environment, encoding: "utf8", timeout: 60_000 });
  try {
    const { status, stdout, stderr } = ask("ps", "-q");
    assert.equal([status, stdout], [0, ""], stderr);
    assert.not.ok(alive(Number(readFileSync(pidFile, "utf8"))), "the check goes on");
  } finally {
    ask("daemon", "stop");
  }
});

test.skipIf(reason, "conformance starts no engine; it tries a driver that the config adds, and not one that is switched off", (t) => {
  const directory = folder(t);
  const config = join(directory, "config.json");
  writeFileSync(
    config,
    JSON.stringify({ volume: { scratch: { driver: "local" } }, plugins: [{ name: "@tsbox/storage-vfs", enabled: false }] }),
  );
  const run = (...words: readonly string[]) =>
    spawnSync(binary, ["conformance", "--output", join(directory, "report"), ...words], {
      env: {
        PATH: process.env.PATH ?? "",
        HOME: "/root",
        TSBOX_STATE: join(directory, "state"),
        TSBOX_ROOT: join(directory, "root"),
        TSBOX_CONFIG: config,
      },
      encoding: "utf8",
      timeout: 120_000,
    });
  const { status, stderr } = run("volume", "scratch");
  assert.match(stderr, /^volume\/local: \d+ passed, 0 failed, \d+ skipped\n$/);
  assert.is(status, 0);
  assert.match(readFileSync(join(directory, "report"), "utf8"), /^ok 1 - volume\/opens: /m);
  assert.match(run("storage", "vfs").stderr, /plugin tsbox-storage-vfs is not installed/);
  assert.not.ok(existsSync(join(directory, "state")) || existsSync(join(directory, "root")), "an engine was started");
});
