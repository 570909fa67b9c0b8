/** The long form of cases/life.test.ts: a thousand sequences. */
import { existsSync } from "node:fs";
import { needsRoot, suite } from "@tsbox/harness";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { binary, engine } from "../src/engine.ts";
import { Api, sequence } from "../src/life.ts";

const test = suite("a container's life, at length", { timeout: 1_800_000 });
const reason = needsRoot() ?? needsBusybox() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");
/** `LIFE_FROM=N` repeats the sequences of the run that printed N. */
const seed = Number(process.env.LIFE_FROM ?? Math.floor(Math.random() * 2 ** 31));

test.skipIf(reason, "a thousand sequences of random verbs", async (t) => {
  const own = await engine(t);
  await own.ok(["import", "-", "bb"], { input: busyboxTar(t) });
  const api = new Api(own);
  console.log(`LIFE_FROM=${seed}`);
  for (let at = 0; at < 1000; at += 1) await sequence(own, api, seed + at, "bb");
});
