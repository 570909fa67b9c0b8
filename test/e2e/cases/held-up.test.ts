/**
 * A container that blocks processes which enter it: with a fifo in place of a file, with a lease on the program, with signals. It can still
 * be killed and removed, and no other command waits. And the disk, which other processes keep busy.
 */
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { type Case, needsRoot, suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { binary, type Engine, engine, until } from "../src/engine.ts";
import { probe } from "../src/probe.ts";

const test = suite("containers that hold up who enters", { timeout: 180_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ?? needsBusybox();

async function ready(t: Case): Promise<Engine> {
  const own = await engine(t);
  await own.ok(["import", "-", "bb"], { input: busyboxTar(t) });
  return own;
}

/** Runs a command and returns its duration in milliseconds. */
async function timed(own: Engine, argv: readonly string[]): Promise<number> {
  const began = performance.now();
  await own.ok(argv);
  return performance.now() - began;
}

test.skipIf(reason, "a passwd that is a fifo: an exec runs, by number and by name it is said what is wrong", async (t) => {
  const own = await ready(t);
  const script = "rm /etc/passwd /etc/group; mkfifo /etc/passwd /etc/group; echo made; sleep 1000";
  await own.ok(["run", "-d", "--name", "trap", "--net", "none", "bb", "sh", "-c", script]);
  await until(async () => (await own.ok(["logs", "trap"])) === "made\n", "the fifos");
  assert.is(await own.ok(["exec", "trap", "sh", "-c", "echo $HOME"]), "/\n");
  const named = await own.run(["exec", "-u", "app", "trap", "true"]);
  assert.ok(named.code !== 0 && named.stderr.includes("/etc/passwd"), `${named.code}: ${named.stderr}`);
  assert.ok((await timed(own, ["rm", "-f", "trap"])) < 5_000, "rm -f waits for nothing of the container's");
});

test.skipIf(reason, "a lease on the program: the exec ends with its deadline, and kill works meanwhile", async (t) => {
  const own = await ready(t);
  const lease = probe(t, "lease");
  const flags = ["--cap-add", "LEASE", "-v", `${dirname(lease)}:/probe:ro`];
  const script = "cp /bin/busybox /held; exec /probe/lease /held";
  await own.ok(["run", "-d", "--name", "trap", "--net", "none", ...flags, "bb", "sh", "-c", script]);
  await until(async () => (await own.ok(["logs", "trap"])) === "held\n", "the lease");
  const late = own.run(["exec", "trap", "/held", "true"]);
  // Another command is served while the first one waits.
  assert.is(await own.ok(["exec", "trap", "echo", "served"]), "served\n");
  const { code, stderr } = await late;
  assert.ok(code !== 0 && stderr.includes("did not start within"), `${code}: ${stderr}`);
  const second = own.run(["exec", "trap", "/held", "true"]);
  assert.is(await own.ok(["exec", "trap", "echo", "served"]), "served\n");
  assert.ok((await timed(own, ["kill", "trap"])) < 5_000, "kill waits for no exec");
  assert.is.not((await second).code, 0);
});

test.skipIf(reason, "a container that stops all its processes: execs hang, and kill ends them", async (t) => {
  const own = await ready(t);
  await own.ok(["run", "-d", "--name", "trap", "--net", "none", "bb", "sh", "-c", "while :; do kill -STOP -1; done"]);
  const execs = Array.from({ length: 12 }, () => own.run(["exec", "trap", "sleep", "0.2"]));
  // All execs must be starting or stopped before the kill; one is not enough.
  await Promise.race([...execs, own.ok(["exec", "-d", "trap", "true"])]).catch(() => {});
  assert.ok((await timed(own, ["rm", "-f", "trap"])) < 5_000, "rm -f waits for no exec");
  for (const { code } of await Promise.all(execs)) assert.ok(code === 0 || code === 137 || code >= 125 || code === 1, String(code));
});

/** Prints whether the container's root is an overlay that skips every sync. */
const isVolatile =
  "grep -q '^[0-9]* [0-9]* [0-9:]* / / .* - overlay overlay .*volatile' /proc/self/mountinfo && echo volatile || echo synced";

test.skipIf(reason, "a container with --rm does not wait for the disk: its layer needs no sync, however often it is mounted", async (t) => {
  const own = await ready(t);
  assert.is(await own.ok(["run", "--rm", "--net", "none", "bb", "sh", "-c", isVolatile]), "volatile\n");
  assert.is(await own.ok(["run", "--rm", "--userns", "private", "--net", "none", "bb", "sh", "-c", isVolatile]), "volatile\n");
  // A container that is kept must honour fsync(2).
  assert.is(await own.ok(["run", "--name", "lasts", "--net", "none", "bb", "sh", "-c", isVolatile]), "synced\n");
  await own.ok(["run", "-d", "--rm", "--name", "again", "-w", "/made", "--net", "none", "bb", "sh", "-c", "echo x >>/made/x; sleep 1000"]);
  await until(async () => (await own.run(["exec", "again", "cat", "/made/x"])).stdout === "x\n", "its first line");
  await own.ok(["restart", "-t", "0", "again"]);
  await until(async () => (await own.run(["exec", "again", "cat", "/made/x"])).stdout === "x\nx\n", "its second line");
  assert.match(await own.ok(["diff", "again"]), /^A \/made\/x$/m);
  await own.ok(["commit", "again", "kept"]);
  assert.is(await own.ok(["run", "--rm", "--net", "none", "kept", "cat", "/made/x"]), "x\nx\n");
  // A new daemon does the same.
  process.kill(own.daemonPid(), "SIGKILL");
  await own.ok(["restart", "-t", "0", "again"]);
  await until(async () => (await own.run(["exec", "again", "cat", "/made/x"])).stdout === "x\nx\nx\n", "its third line");
  await own.ok(["rm", "-f", "again"]);
});
