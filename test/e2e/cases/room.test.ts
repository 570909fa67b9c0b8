/** A host whose room is used up: memory behind the state directory. Nothing that ends is lost, and all is as before when there is room again. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Case, needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { binary, type Engine, engine, until } from "../src/engine.ts";

const test = suite("no room", { timeout: 120_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");

/** Waits for a file of the container's own to say with which code to end. */
const obedient = 'while [ ! -e /end ]; do sleep 0.02; done; exit "$(cat /end)"';

/** A file system of its own, unmounted when the engine on it has ended. */
function smallTmpfs(t: Case, size: string): string {
  const directory = temporaryDirectory(t, "/run");
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size},mode=755`, "tsbox-test", directory]);
  t.cleanup(() => execFileSync("umount", [directory]));
  return directory;
}

const used = (directory: string): number => {
  const { blocks, bfree, bsize } = statfsSync(directory);
  return (blocks - bfree) * bsize;
};

/** Until nothing more goes in. */
function fill(directory: string): string {
  const filler = join(directory, "filler");
  for (const bytes of [1 << 20, 4096, 1])
    try {
      for (;;) writeFileSync(filler, Buffer.alloc(bytes), { flag: "a" });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    }
  return filler;
}

async function tellToEnd(own: Engine, name: string, code: number): Promise<void> {
  const { State } = await own.inspect(name);
  // Under its name it is there as a whole.
  writeFileSync(`/proc/${State.Pid}/root/end.new`, String(code));
  renameSync(`/proc/${State.Pid}/root/end.new`, `/proc/${State.Pid}/root/end`);
}

test.skipIf(reason, "what a container writes to its files of /etc does not fill the state directory", async (t) => {
  const state = join(smallTmpfs(t, "64m"), "state");
  mkdirSync(state);
  const own = await engine(t, null, [], undefined, state);
  const write = "for f in hosts hostname resolv.conf; do head -c 4000000 /dev/zero >> /etc/$f || exit 1; done; echo written; read end";
  const started = [
    ["run", "-di", "--name", "box"],
    ["run", "--rm", "-di", "--name", "brief"],
    ["run", "-di", "--name", "peer", "--net", "container:box"],
  ];
  for (const words of started) {
    const before = used(own.state);
    const network = words.includes("--net") ? [] : ["--net", "none"];
    const id = (await own.ok([...words, ...network, "host:/", "sh", "-c", write])).trim();
    await until(async () => (await own.ok(["logs", id])) === "written\n", "it to have written");
    assert.ok(used(own.state) - before < 1 << 20, `${words.join(" ")}: the state directory has grown`);
  }
  const { Id } = await own.inspect("brief");
  assert.ok(existsSync(join(own.root, "containers", Id, "hosts")));
  await own.ok(["rm", "-f", "brief"]);
  await until(() => !existsSync(join(own.root, "containers", Id)), "its files to go with it");

  const stranger = join(own.root, "containers", "f".repeat(64));
  mkdirSync(stranger);
  writeFileSync(join(stranger, "hosts"), "127.0.0.1 localhost\n");
  process.kill(own.daemonPid(), "SIGKILL");
  await own.ok(["ps"]);
  await until(() => !existsSync(stranger), "the files of a container that nobody knows to go");
});

test.skipIf(reason, "a full state directory loses no end: who waits is told, and it is written when there is room", async (t) => {
  const memory = smallTmpfs(t, "16m");
  const state = join(memory, "state");
  mkdirSync(state);
  const own = await engine(t, null, [], undefined, state);
  const box = ["--net", "none", "host:/", "sh", "-c", obedient];
  await own.ok(["run", "-d", "--name", "lasting", ...box]);
  await own.ok(["run", "-d", "--name", "late", ...box]);
  await own.ok(["run", "-d", "--name", "orphan", ...box]);
  const [foreground, brief] = [
    own.client(["run", "--name", "here", ...box]).ended,
    own.client(["run", "--rm", "--name", "brief", ...box]).ended,
  ];
  await until(async () => (await own.ok(["ps", "-q"])).trim().split("\n").length === 5, "all of them to run");
  const filler = fill(memory);
  t.cleanup(() => rmSync(filler, { force: true }));

  const refused = await own.run(["run", "-d", "--name", "new", "--net", "none", "host:/", "true"]);
  assert.is.not(refused.code, 0);
  assert.match(refused.stderr, /^tsbox: [^\n]+\n$/);
  assert.is(await own.ok(["ps", "-aqf", "name=new", "-f", "status=running"]), "");

  const waiting = own.client(["wait", "lasting"]).ended;
  await tellToEnd(own, "lasting", 3);
  await tellToEnd(own, "here", 4);
  await tellToEnd(own, "brief", 5);
  assert.is((await waiting).stdout, "3\n");
  assert.equal([(await foreground).code, (await brief).code], [4, 5]);
  assert.equal((await own.inspect("lasting")).State.ExitCode, 3);
  assert.is((await own.run(["inspect", "brief"])).code, 1);

  // Both at once: its shim keeps what it can't write, for the daemon that comes next.
  const { State } = await own.inspect("late");
  const daemon = own.daemonPid();
  process.kill(daemon, "SIGSTOP");
  writeFileSync(`/proc/${State.Pid}/root/end`, "6");
  await until(() => !existsSync(`/proc/${State.Pid}`), "its end");
  process.kill(daemon, "SIGKILL");
  assert.equal((await own.inspect("late")).State.ExitCode, 6);
  assert.equal((await own.inspect("lasting")).State.ExitCode, 3);

  rmSync(filler);
  const recorded = (id: string): boolean => {
    try {
      return JSON.parse(readFileSync(join(state, "containers", id, "record.json"), "utf8")).status === "exited";
    } catch {
      return false;
    }
  };
  for (const name of ["lasting", "here", "late"]) {
    const { Id } = await own.inspect(name);
    await until(() => recorded(Id), `the record of ${name}`);
  }
  await until(() => own.shims().length === 1, "the shims to be done");
  process.kill(own.daemonPid(), "SIGKILL");
  const shown = (await own.ok(["ps", "-a", "--format", "{{.Names}} {{.Status}}"])).replaceAll(/ (About|Less|\d+) .*/g, "");
  assert.equal(
    shown
      .trim()
      .split("\n")
      .filter((line) => !line.startsWith("new "))
      .sort(),
    ["here Exited (4)", "lasting Exited (3)", "late Exited (6)", "orphan Up"],
  );
  await tellToEnd(own, "orphan", 7);
  assert.is(await own.ok(["wait", "orphan"]), "7\n");
});
