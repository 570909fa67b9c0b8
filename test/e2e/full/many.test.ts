/** The long forms of cases/descriptors.test.ts: a thousand containers at once, ten thousand one after another. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { needsRoot, suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { crowd } from "../src/crowd.ts";
import { binary, type Engine, engine, until } from "../src/engine.ts";

const test = suite("many containers", { timeout: 3_600_000 });
const reason = needsRoot() ?? needsBusybox() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");

test.skipIf(reason, "a thousand at once, started with a soft limit of 1,024", async (t) => {
  const own = await engine(t, null, ["sh", "-c", 'ulimit -Sn 1024; exec "$@"', "sh"]);
  await own.ok(["import", "-", "bb"], { input: busyboxTar(t) });
  await crowd(own, "bb", 1000);
});

interface Weight {
  readonly descriptors: number;
  /** KiB that are nobody else's. */
  readonly memory: number;
}

function weigh(pid: number): Weight {
  const memory = Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  return { descriptors: readdirSync(`/proc/${pid}/fd`).length, memory };
}

async function runs(own: Engine, count: number): Promise<readonly Weight[]> {
  for (let at = 0; at < count; at += 1) await own.ok(["run", "--rm", "--net", "none", "bb", "true"]);
  await until(() => own.shims().length === 0, "the last shim to go");
  // The daemon collects.
  process.kill(own.daemonPid(), "SIGUSR2");
  await own.ok(["version"]);
  return [own.launcherPid, own.daemonPid()].map(weigh);
}

test.skipIf(reason, "ten thousand in a row: descriptors and memory of launcher and daemon stay flat", async (t) => {
  const own = await engine(t);
  await own.ok(["import", "-", "bb"], { input: busyboxTar(t) });
  const before = await runs(own, 1000);
  const after = await runs(own, 9000);
  for (const [at, { descriptors, memory }] of after.entries()) {
    const first = before[at] as Weight;
    assert.ok(descriptors <= first.descriptors + 2, `descriptors: ${first.descriptors}, then ${descriptors}`);
    // Less than a KiB a run.
    assert.ok(memory <= first.memory + 8192, `KiB: ${first.memory}, then ${memory}`);
  }
});
