/** kill -9 of each process, and the guarantees of docs/architecture.md. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needsRoot, networkLinks, suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { alive, binary, type Engine, engine, until } from "../src/engine.ts";

const test = suite("kill -9", { timeout: 120_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");

/** Writes a line, then waits for a file in the container that contains its exit code. */
const obedient = 'echo first; while [ ! -e /end ]; do sleep 0.02; done; echo last; exit "$(cat /end)"';

async function runObedient(own: Engine, name: string, more: readonly string[] = []): Promise<string> {
  const id = (await own.ok(["run", "-d", "--name", name, "--net", "none", ...more, "host:/", "sh", "-c", obedient])).trim();
  await until(async () => (await own.run(["logs", name])).stdout.startsWith("first\n"), "its first line");
  return id;
}

async function tellToEnd(own: Engine, id: string, code: number): Promise<void> {
  const { pid } = JSON.parse(readFileSync(join(own.state, "containers", id, "record.json"), "utf8")) as { pid: number };
  // The rename makes the complete file visible at once.
  writeFileSync(`/proc/${pid}/root/end.new`, String(code));
  renameSync(`/proc/${pid}/root/end.new`, `/proc/${pid}/root/end`);
}

const shimOf = (pid: number): number => Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);

test.skipIf(
  reason,
  "the daemon: the container is still there, its log complete, its exit code right; a client that waited gets it",
  async (t) => {
    const own = await engine(t);
    const id = await runObedient(own, "steady");
    const attached = own.client([
      "run",
      "--rm",
      "--name",
      "watched",
      "--net",
      "none",
      "host:/",
      "sh",
      "-c",
      "echo here; while [ ! -e /end ]; do sleep 0.02; done; echo there; exit 9",
    ]).ended;
    await until(async () => (await own.run(["ps", "-q"])).stdout.trim().split("\n").length === 2, "both to run");
    const watched = (await own.inspect("watched")).Id;
    process.kill(own.daemonPid(), "SIGKILL");
    assert.match(await own.ok(["ps"]), /steady/);
    await tellToEnd(own, id, 3);
    await tellToEnd(own, watched, 9);
    const ran = await attached;
    assert.equal([ran.code, ran.stdout], [9, "here\nthere\n"]);
    assert.is(await own.ok(["wait", "steady"]), "3\n");
    assert.is(await own.ok(["logs", "steady"]), "first\nlast\n");
  },
);

test.skipIf(reason, "the daemon, while a container ends: the exit code is found on disk", async (t) => {
  const own = await engine(t);
  const id = await runObedient(own, "ending");
  process.kill(own.daemonPid(), "SIGSTOP");
  const stopped = own.daemonPid();
  await tellToEnd(own, id, 6);
  await until(() => existsSync(join(own.state, "containers", id, "exit")), "the exit status on disk");
  process.kill(stopped, "SIGKILL");
  assert.is(await own.ok(["wait", "ending"]), "6\n");
  assert.is(await own.ok(["logs", "ending"]), "first\nlast\n");
});

test.skipIf(reason, "the daemon, once it has made the bridge: its successor takes bridge and rules away at its end", async (t) => {
  const own = await engine(t);
  await own.ok(["run", "--rm", "host:/", "true"]);
  const links = (kind: string): readonly string[] => networkLinks().filter((name) => name.startsWith(`tsb${own.id.slice(0, 4)}${kind}`));
  assert.is(links("b").length, 1);
  // The next daemon would use the bridge for a container that it knows.
  await until(() => links("v").length === 0, "its pair to go");
  process.kill(own.daemonPid(), "SIGKILL");
  await own.ok(["ps"]);
  await own.stop();
  assert.equal(links("b"), []);
  assert.not.match(spawnSync("nft", ["list", "tables"], { encoding: "utf8" }).stdout, new RegExp(`tsbox-${own.id}`));
});

test.skipIf(reason, "the launcher: the daemon ends, shims go on, and the next engine finds them", async (t) => {
  const own = await engine(t);
  const id = await runObedient(own, "orphan");
  const volatile = await runObedient(own, "orphan-rm", ["--rm"]);
  const { State } = await own.inspect("orphan");
  await own.killLauncher();
  assert.ok(alive(State.Pid));
  await own.start();
  assert.is((await own.inspect("orphan")).State.Status, "running");
  const waiting = own.client(["wait", "orphan"]).ended;
  await tellToEnd(own, id, 4);
  await tellToEnd(own, volatile, 0);
  assert.is((await waiting).stdout, "4\n");
  assert.is(await own.ok(["logs", "orphan"]), "first\nlast\n");
  await until(async () => (await own.run(["ps", "-aq"])).stdout.trim().split("\n").length === 1, "the --rm container to be removed");
});

test.skipIf(reason, "the launcher, while a container ends: the next engine records it", async (t) => {
  const own = await engine(t);
  const id = await runObedient(own, "alone");
  await own.killLauncher();
  const { pid } = JSON.parse(readFileSync(join(own.state, "containers", id, "record.json"), "utf8")) as { pid: number };
  await tellToEnd(own, id, 8);
  await until(() => !alive(pid), "it to end");
  await own.start();
  assert.is(await own.ok(["wait", "alone"]), "8\n");
  assert.is(await own.ok(["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "alone"]), "exited 8\n");
});

test.skipIf(reason, "daemon and launcher, when a container runs and no record says so: it ends, and can be started", async (t) => {
  const own = await engine(t);
  const id = await runObedient(own, "unrecorded");
  const { State } = await own.inspect("unrecorded");
  await own.killLauncher();
  // The state before the start was recorded.
  const path = join(own.state, "containers", id, "record.json");
  const record = JSON.parse(readFileSync(path, "utf8"));
  writeFileSync(path, JSON.stringify({ ...record, status: "created", pid: null, startedAt: null, endpoints: [] }));
  await own.start();
  assert.is(await own.ok(["wait", "unrecorded"]), "137\n");
  assert.not(alive(State.Pid));
  await own.ok(["start", "unrecorded"]);
  await until(async () => (await own.run(["logs", "unrecorded"])).stdout === "first\nfirst\n", "its second first line");
  await own.ok(["rm", "-f", "unrecorded"]);
});

test.skipIf(
  reason,
  "daemon and shim, when no record says that a container runs: its processes end, and nothing of it is left",
  async (t) => {
    // The operator made this cgroup, so the engine does not remove it.
    const parent = `tsbox-test-parent-${process.pid}`;
    t.cleanup(() => {
      for (const hierarchy of ["", ...readdirSync("/sys/fs/cgroup")]) {
        const directory = join("/sys/fs/cgroup", hierarchy, parent);
        if (existsSync(directory)) rmdirSync(directory);
      }
    });
    const own = await engine(t);
    for (const more of [[], ["--rm"], ["--cgroup-parent", `/${parent}`]]) {
      const id = await runObedient(own, "orphaned", more);
      const { State } = await own.inspect("orphaned");
      const shim = shimOf(State.Pid);
      await own.killLauncher();
      process.kill(shim, "SIGKILL");
      await until(() => !alive(shim), "the shim to die");
      // The state before the start was recorded: a container with --rm has no record then.
      const path = join(own.state, "containers", id, "record.json");
      const record = JSON.parse(readFileSync(path, "utf8"));
      if (more[0] === "--rm") rmSync(path);
      else writeFileSync(path, JSON.stringify({ ...record, status: "created", pid: null, startedAt: null, endpoints: [] }));
      assert.ok(alive(State.Pid));
      await own.start();
      await until(() => !alive(State.Pid), "its process to end");
      if (more[0] !== "--rm") {
        await own.ok(["start", "orphaned"]);
        await own.ok(["rm", "-f", "orphaned"]);
      }
      assert.is(await own.ok(["ps", "-aq"]), "");
    }
  },
);

test.skipIf(reason, "the client: the container goes on", async (t) => {
  const own = await engine(t);
  const client = own.client(["run", "--name", "left", "--net", "none", "host:/", "sh", "-c", obedient]);
  await until(async () => (await own.run(["ps", "-q"])).stdout !== "", "it to run");
  client.process.kill("SIGKILL");
  await client.ended;
  const { Id } = await own.inspect("left");
  await tellToEnd(own, Id, 2);
  assert.is(await own.ok(["wait", "left"]), "2\n");
  assert.is(await own.ok(["logs", "left"]), "first\nlast\n");
});

test.skipIf(reason, "the shim: the log up to then, and the exit code from the launcher", async (t) => {
  const own = await engine(t);
  // It ends without output: its output has no reader any more, so a line would end it with SIGPIPE.
  const silent = 'echo first; while [ ! -e /end ]; do sleep 0.02; done; exit "$(cat /end)"';
  const id = (await own.ok(["run", "-d", "--name", "bereft", "--net", "none", "host:/", "sh", "-c", silent])).trim();
  await until(async () => (await own.run(["logs", "bereft"])).stdout === "first\n", "its first line");
  const { State } = await own.inspect("bereft");
  process.kill(shimOf(State.Pid), "SIGKILL");
  const waiting = own.client(["wait", "bereft"]).ended;
  await tellToEnd(own, id, 5);
  assert.is((await waiting).stdout, "5\n");
  assert.is(await own.ok(["logs", "bereft"]), "first\n");
});

test.skipIf(reason, "a hundred runs, eight at a time: nothing is left of them", async (t) => {
  const own = await engine(t);
  const waiting = Array.from({ length: 100 }, (_, at) => at);
  const worker = async (): Promise<void> => {
    for (let at = waiting.shift(); at !== undefined; at = waiting.shift()) {
      const { code, stderr } = await own.run(["run", "--rm", "--net", "none", "host:/", "sh", "-c", `exit ${at % 7}`]);
      assert.is(code, at % 7, stderr);
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  await until(() => readdirSync(join(own.state, "containers")).length === 0, "the directories to go");
  await until(() => readdirSync(join(own.root, "storage-overlay", "active")).length === 0, "the layers to go");
  const { spawnSync } = await import("node:child_process");
  await until(
    () => spawnSync("find", ["/sys/fs/cgroup", "-path", `*tsbox-${own.id}/*`, "-type", "d"], { encoding: "utf8" }).stdout === "",
    "the cgroups to go",
  );
});

test.skipIf(reason, "a power cut within create: a record whose layer never came is dropped, the others stay", async (t) => {
  const own = await engine(t);
  const create = async (name: string): Promise<string> => (await own.ok(["create", "--name", name, "host:/", "echo", name])).trim();
  const cut = await create("cut");
  const whole = Array.from({ length: 8 }, (_, at) => `whole${at}`);
  const ids = [cut, ...(await Promise.all(whole.map(create)))];
  // The state after a power cut: one layer is missing on disk, and tmpfs is empty.
  process.kill(own.daemonPid(), "SIGSTOP");
  for (const id of ids) rmSync(join(own.state, "containers", id), { recursive: true });
  rmSync(join(own.root, "storage-overlay", "active", `container-${cut}`), { recursive: true });
  process.kill(own.daemonPid(), "SIGKILL");
  assert.equal((await own.ok(["ps", "-a", "--format", "{{.Names}}"])).trim().split("\n").sort(), whole);
  // The first starts find nothing open yet. They run at once, since their steps may then interleave differently.
  const outputs = await Promise.all(whole.map((name) => own.ok(["start", "-a", name])));
  assert.equal(
    outputs,
    whole.map((name) => `${name}\n`),
  );
  assert.is((await create("cut")).length, 64);
});

test.skipIf(
  reason,
  "acknowledged containers survive a power cut, also with the layer of a container that was started at once",
  async (t) => {
    const own = await engine(t);
    for (const flags of [["-d"], ["-d", "--restart", "always"], []]) {
      const id =
        flags.length === 0
          ? (await own.ok(["create", "host:/", "true"])).trim()
          : (await own.ok(["run", ...flags, "--net", "none", "host:/", "sleep", "1000"])).trim();
      const layer = join(own.root, "storage-overlay", "active", `container-${id}`, "snapshot.json");
      assert.is((JSON.parse(readFileSync(layer, "utf8")) as { boot: string | null }).boot, null, flags.join(" "));
    }
  },
);

test.skipIf(reason, "a power cut that took an image's layers: they are unpacked anew from their blobs", async (t) => {
  const own = await engine(t);
  assert.is(await own.ok(["run", "--rm", "--net", "none", "host:/", "echo", "once"]), "once\n");
  const layers = join(own.root, "storage-overlay", "committed");
  process.kill(own.daemonPid(), "SIGSTOP");
  // Layers that were not on disk yet when the host went down.
  let taken = 0;
  for (const name of readdirSync(layers)) {
    const path = join(layers, name, "snapshot.json");
    const record = JSON.parse(readFileSync(path, "utf8")) as { readonly source: string | null };
    if (record.source !== null) continue;
    writeFileSync(path, JSON.stringify({ ...record, boot: "one before" }));
    taken += 1;
  }
  assert.ok(taken > 0);
  process.kill(own.daemonPid(), "SIGKILL");
  assert.is(await own.ok(["run", "--rm", "--net", "none", "host:/", "echo", "again"]), "again\n");
});
