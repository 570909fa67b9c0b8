/** The long forms of cases/descriptors.test.ts: a thousand containers at once, ten thousand one after another. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { needsRoot, suite } from "@tsbox/harness";
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
  /** KiB that the process shares with no other. */
  readonly memory: number;
}

function weigh(pid: number): Weight {
  const memory = Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  return { descriptors: readdirSync(`/proc/${pid}/fd`).length, memory };
}

const weights = (own: Engine): readonly Weight[] => [own.launcherPid, own.daemonPid()].map(weigh);

async function runs(own: Engine, count: number, isLight: (weights: readonly Weight[]) => boolean): Promise<readonly Weight[]> {
  for (let at = 0; at < count; at += 1) await own.ok(["run", "--rm", "--net", "none", "bb", "true"]);
  await until(() => own.shims().length === 0, "the last shim to go");
  return settled(own, isLight);
}

/** V8 returns pages only after several collections, so this triggers as many as needed. */
async function settled(own: Engine, isLight: (weights: readonly Weight[]) => boolean): Promise<readonly Weight[]> {
  const first = weights(own);
  let collections = 0;
  await until(
    async () => {
      process.kill(own.daemonPid(), "SIGUSR2");
      await own.ok(["version"]);
      collections += 1;
      return collections >= 5 && isLight(weights(own));
    },
    () => `memory and descriptors to come back: ${JSON.stringify(weights(own))}, at first ${JSON.stringify(first)}`,
    60_000,
  );
  return weights(own);
}

// A leak of one descriptor, or of one KiB, in each round is far more than this. Some descriptors are open only for a moment.
const notMore =
  (before: readonly Weight[]) =>
  (after: readonly Weight[]): boolean =>
    after.every(
      ({ descriptors, memory }, at) => descriptors <= (before[at]?.descriptors ?? 0) + 16 && memory <= (before[at]?.memory ?? 0) + 8192,
    );

/**
 * Requests that a client abandons before the answer: waits, events (some with an invalid filter), logs that are followed, connections
 * without a request.
 */
async function abandon(own: Engine, count: number): Promise<void> {
  const wrong = encodeURIComponent('{"nosuch":["x"]}');
  const paths = [
    "POST /containers/box/wait",
    "GET /events",
    `GET /events?filters=${wrong}`,
    "GET /containers/box/logs?follow=1&stdout=1",
    "",
  ];
  const one = (line: string): Promise<void> =>
    new Promise((resolve) => {
      const socket = connect(own.socket);
      socket.on("error", () => {}).once("close", () => resolve());
      socket.once("connect", () => {
        if (line === "") socket.end();
        else socket.write(`${line} HTTP/1.1\r\nHost: x\r\n\r\n`);
        // Each gets a head at once, so the engine has received the request by then.
        socket.once("data", () => socket.destroy());
      });
    });
  for (let at = 0; at < count; at += 50)
    await Promise.all(Array.from({ length: 50 }, (_, which) => one(paths[which % paths.length] ?? "")));
}

test.skipIf(reason, "ten thousand requests that their clients left: descriptors and memory of launcher and daemon stay flat", async (t) => {
  const own = await engine(t);
  await own.ok(["import", "-", "bb"], { input: busyboxTar(t) });
  await own.ok(["run", "-d", "--name", "box", "--net", "none", "bb", "sleep", "10000"]);
  // As many as needed until the heap has its final size.
  await abandon(own, 4000);
  const before = await settled(own, () => true);
  await abandon(own, 6000);
  await settled(own, notMore(before));
});

test.skipIf(reason, "ten thousand in a row: descriptors and memory of launcher and daemon stay flat", async (t) => {
  const own = await engine(t);
  await own.ok(["import", "-", "bb"], { input: busyboxTar(t) });
  // The daemon's heap reaches its size after some thousands: 110 MB after 600, 115.6 after 3,000, 115.7 after 5,400.
  const before = await runs(own, 3000, () => true);
  await runs(own, 7000, notMore(before));
});
