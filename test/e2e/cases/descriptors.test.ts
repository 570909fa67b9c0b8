/** Open files: an engine that is given few takes what its host lets it have, and its containers don't inherit that. */
import { existsSync, readFileSync } from "node:fs";
import { needsRoot, suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { crowd } from "../src/crowd.ts";
import { binary, engine } from "../src/engine.ts";

const test = suite("descriptors", { timeout: 120_000 });
const reason = needsRoot() ?? needsBusybox() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");

const limitOf = (pid: number): readonly string[] =>
  /^Max open files +(\d+) +(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, "utf8"))?.slice(1) ?? [];

test.skipIf(reason, "200 containers at once, started with a soft limit of 256", async (t) => {
  const own = await engine(t, null, ["sh", "-c", 'ulimit -Sn 256; exec "$@"', "sh"]);
  await own.ok(["import", "-", "bb"], { input: busyboxTar(t) });
  const [, hard] = limitOf(process.pid);
  for (const pid of [own.launcherPid, own.daemonPid()]) assert.equal(limitOf(pid), [hard, hard]);
  await crowd(own, "bb", 200);
  assert.is(await own.ok(["run", "--rm", "--net", "none", "bb", "sh", "-c", "ulimit -Sn"]), "256\n");
});
