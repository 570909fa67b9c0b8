/**
 * A host without free space: memory for the state directory, disk for the root directory. No exit status is lost, and everything works
 * again when there is space.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Case, needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { binary, type Engine, engine, until } from "../src/engine.ts";

const test = suite("no room", { timeout: 120_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");

/** Waits for a file in the container that contains its exit code. */
const obedient = 'while [ ! -e /end ]; do sleep 0.02; done; exit "$(cat /end)"';

/** A separate file system, unmounted when its engine has ended. */
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

/** Fills a file system completely. */
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
  // The rename makes the complete file visible at once.
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

test.skipIf(
  reason,
  "a full state directory loses no exit status: waiting clients get it, and it is written when there is room",
  async (t) => {
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

    // Both at once: the shim holds the status that it can't write, for the next daemon.
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
  },
);

/** Sets the root directory of this case's engines. */
function rootOn(t: Case, directory: string): void {
  const before = process.env.TSBOX_TEST_ROOT;
  process.env.TSBOX_TEST_ROOT = directory;
  t.cleanup(() => {
    if (before === undefined) delete process.env.TSBOX_TEST_ROOT;
    else process.env.TSBOX_TEST_ROOT = before;
  });
}

function smallDisk(t: Case, megabytes: number): string {
  const place = temporaryDirectory(t, "/var/tmp");
  const [image, directory] = [join(place, "image"), join(place, "mounted")];
  execFileSync("truncate", ["-s", `${megabytes}M`, image]);
  execFileSync("mkfs.ext4", ["-q", "-m", "0", image]);
  mkdirSync(directory);
  execFileSync("mount", ["-o", "loop", image, directory]);
  t.cleanup(() => execFileSync("umount", [directory]));
  return directory;
}

test.skipIf(
  reason ?? needsBusybox(),
  "on a full disk everything that frees space works, and so does a daemon that starts there",
  async (t) => {
    const disk = smallDisk(t, 64);
    rootOn(t, disk);
    const own = await engine(t);
    const archive = join(temporaryDirectory(t), "box.tar");
    writeFileSync(archive, busyboxTar(t));
    await own.ok(["import", archive, "box:1"]);
    await own.ok(["tag", "box:1", "box:2"]);
    for (const volume of ["one", "two"]) await own.ok(["volume", "create", volume]);
    for (const name of ["first", "second", "third", "fourth"])
      await own.ok(["run", "-d", "--name", name, "--net", "none", "--stop-timeout", "0", "box:1", "sleep", "1000"]);
    await own.ok(["create", "--name", "idle", "--net", "none", "box:1", "true"]);
    const filler = fill(disk);
    t.cleanup(() => rmSync(filler, { force: true }));

    const refused = await own.run(["create", "--name", "more", "--net", "none", "box:1", "true"]);
    assert.is.not(refused.code, 0);
    assert.match(refused.stderr, /^tsbox: [^\n]*no space left[^\n]*\n$/);
    await own.ok(["kill", "first"]);
    await own.ok(["stop", "second"]);
    await own.ok(["rm", "first"]);

    process.kill(own.daemonPid(), "SIGKILL");
    assert.equal((await own.ok(["ps", "-a", "--format", "{{.Names}}"])).trim().split("\n").sort(), ["fourth", "idle", "second", "third"]);
    await own.ok(["stop", "third"]);
    await own.ok(["rm", "-f", "fourth"]);
    await own.ok(["rm", "third"]);
    await own.ok(["volume", "rm", "one"]);
    await own.ok(["rmi", "box:2"]);
    await own.ok(["system", "prune", "-af", "--volumes"]);
    assert.is(await own.ok(["ps", "-aq"]), "");
    assert.is(await own.ok(["images", "-q"]), "");

    rmSync(filler, { force: true });
    await own.ok(["import", archive, "box:3"]);
    assert.is(await own.ok(["run", "--rm", "--net", "none", "box:3", "echo", "again"]), "again\n");
    assert.match(await own.ok(["info", "--why"]), /overlay/);
  },
);
