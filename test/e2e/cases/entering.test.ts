/**
 * A process that enters a running container is visible to the processes of that container, which may inspect it with CAP_SYS_PTRACE. An
 * attacker in the container searches for the host's root, for directories and files of the host, and for capabilities that the container
 * lacks, while the engine enters it in every way that it supports.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Case, isFullRun, needsRoot, suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { binary, type Engine, engine, until } from "../src/engine.ts";
import { probe } from "../src/probe.ts";

const test = suite("entering a container", { timeout: 180_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ?? needsBusybox();

/** When an escape was possible, a single exec was enough for it. */
const rounds = isFullRun ? 30 : 4;

/** The ways to enter: each makes a process in the container's pid namespace or inspects one. */
async function enter(own: Engine): Promise<void> {
  const quiet = { input: "" };
  for (let at = 0; at < rounds; at += 1) {
    await own.ok(["exec", "watched", "true"]);
    await own.ok(["exec", "-u", "app", "watched", "true"]);
    await own.ok(["exec", "-i", "-w", "/tmp", "-e", "A=b", "watched", "cat"], quiet);
    await own.ok(["run", "--rm", "--net", "none", "--pid", "container:watched", "bb", "true"]);
    await own.ok(["top", "watched"]);
  }
  for (let at = 0; at < rounds / 3; at += 1) {
    await own.ok(["run", "--rm", "--init", "--net", "none", "--pid", "container:watched", "bb", "true"]);
    await own.ok(["exec", "--privileged", "watched", "true"]);
    await own.ok(["cp", "watched:/etc/passwd", "-"]);
    await own.ok(["debug", "watched", "true"]);
  }
}

interface Attack {
  readonly title: string;
  readonly flags: readonly string[];
  /** An entering process may have capabilities beyond the container's: `exec --privileged` and `debug` ask for them. */
  readonly mayHaveMore: boolean;
}
const attacks: readonly Attack[] = [
  { title: "with CAP_SYS_PTRACE", flags: ["--cap-add", "SYS_PTRACE"], mayHaveMore: true },
  { title: "with every capability", flags: ["--cap-add", "ALL"], mayHaveMore: false },
  { title: "that is privileged", flags: ["--privileged"], mayHaveMore: false },
  { title: "with an init of its own", flags: ["--init", "--cap-add", "SYS_PTRACE"], mayHaveMore: true },
  { title: "with a user namespace", flags: ["--userns", "private", "--cap-add", "ALL"], mayHaveMore: false },
];

async function watched(t: Case, flags: readonly string[]): Promise<{ readonly own: Engine; readonly marker: string }> {
  const own = await engine(t);
  const marker = join(own.state, "marker");
  writeFileSync(marker, "untouched");
  await own.ok(["import", "-", "bb"], { input: busyboxTar(t) });
  const watcher = probe(t, "watcher");
  const volume = `${dirname(watcher)}:/probe:ro`;
  await own.ok(["run", "-d", "--name", "watched", "--net", "none", "-v", volume, ...flags, "bb", "/probe/watcher", marker]);
  await until(async () => (await own.ok(["logs", "watched"])).startsWith("watching"), "the attacker to watch");
  return { own, marker };
}

async function found(own: Engine): Promise<readonly string[]> {
  await own.ok(["kill", "watched"]);
  return (await own.ok(["logs", "watched"])).split("\n").filter((line) => line !== "" && line !== "watching");
}

for (const { title, flags, mayHaveMore } of attacks)
  test.skipIf(reason, `a container ${title} finds nothing of the host in a process that enters it`, async (t) => {
    const { own, marker } = await watched(t, flags);
    await enter(own);
    const seen = await found(own);
    assert.equal(mayHaveMore ? seen.filter((line) => !line.includes("has capabilities")) : seen, []);
    assert.is(readFileSync(marker, "utf8"), "untouched");
  });

test.skipIf(reason, "an exec has no capability that its container lacks, from the moment at which it is seen", async (t) => {
  const { own } = await watched(t, ["--cap-add", "SYS_PTRACE"]);
  for (let at = 0; at < 5 * rounds; at += 1) await own.ok(["exec", "watched", "true"]);
  for (let at = 0; at < 2 * rounds; at += 1) await own.ok(["run", "--rm", "--net", "none", "--pid", "container:watched", "bb", "true"]);
  assert.equal(await found(own), []);
});

test.skipIf(reason, "a health check shows its container nothing of the host's", async (t) => {
  const health = ["--health-cmd", "true", "--health-interval", "20ms"];
  const { own, marker } = await watched(t, ["--cap-add", "ALL", ...health]);
  await until(async () => JSON.stringify(await own.inspect("watched")).includes('"Status":"healthy"'), "the first health checks");
  let checks = 0;
  const events = own.client(["events", "--filter", "container=watched", "--filter", "event=exec_die"], { timeout: 60_000 });
  events.process.stdout?.on("data", (text: string) => (checks += text.split("\n").length - 1));
  await until(() => checks >= 20, "twenty health checks");
  events.process.kill("SIGKILL");
  await events.ended;
  assert.equal(await found(own), []);
  assert.is(readFileSync(marker, "utf8"), "untouched");
});
