/** Sixty faults at random moments; test/e2e/full/faults.test.ts has two thousand. */
import { existsSync } from "node:fs";
import { needsRoot, suite } from "@tsbox/harness";
import { needsBusybox } from "../src/busybox.ts";
import { binary } from "../src/engine.ts";
import { faultRound, faultsARound, faultWorld, promisedNothing } from "../src/faults.ts";
import { needsTools } from "../src/images.ts";

const test = suite("faults", { timeout: 600_000 });
const built = existsSync(binary) ? null : "the native binary is not built: scripts/setup";
const reason = needsRoot() ?? needsBusybox() ?? built ?? needsTools("docker-registry", "skopeo", "umoci", "strace");
/** `FAULTS_FROM=N` repeats the run that printed N. */
const seed = Number(process.env.FAULTS_FROM ?? Math.floor(Math.random() * 2 ** 31));

test.skipIf(reason, "sixty: all processes answer in time, nothing acknowledged is lost, nothing is left", async (t) => {
  const world = await faultWorld(t);
  const promised = promisedNothing();
  console.log(`FAULTS_FROM=${seed}`);
  for (let at = 0; at * faultsARound < Number(process.env.FAULTS ?? 60); at += 1) await faultRound(world, seed + at, promised);
});
