/** Open files: an engine with a low limit raises it as far as its host allows, and its containers do not inherit the raised limit. */
import { existsSync, readFileSync } from "node:fs";
import { request } from "node:http";
import { connect, type Socket } from "node:net";
import { needsRoot, suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { crowd } from "../src/crowd.ts";
import { binary, engine, until } from "../src/engine.ts";

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

interface Answer {
  readonly status: number;
  readonly body: string;
}

function ping(socketPath: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path: "/_ping", agent: false, timeout: 20_000 }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => (body += text));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    });
    asked.on("timeout", () => asked.destroy(new Error("no answer"))).on("error", reject);
    asked.end();
  });
}

test.skipIf(reason, "more connections over HTTP than there are descriptors are refused with a message, and others go on", async (t) => {
  const own = await engine(t, null, ["sh", "-c", 'ulimit -n 256; exec "$@"', "sh"]);
  const sockets: Socket[] = [];
  t.cleanup(() => sockets.forEach((socket) => void socket.destroy()));
  for (let count = 0; count < 200; count += 1) {
    const socket = connect(own.socket);
    socket.on("error", () => {});
    sockets.push(socket);
    await new Promise((resolve) => socket.once("connect", resolve));
  }
  const refused = await ping(own.socket);
  assert.is(refused.status, 503, refused.body);
  assert.match(refused.body, /"the engine has as many connections as its open files allow: close some, or raise its limit/);
  // A refused client that keeps sending is disconnected.
  const stubborn = connect({ path: own.socket, allowHalfOpen: true }).resume();
  const sending = setInterval(() => stubborn.write("GET / HTTP/1.1\r\n"), 100);
  t.cleanup(() => clearInterval(sending));
  await new Promise((resolve) => stubborn.on("error", () => {}).once("close", resolve));
  // Clients that do not use HTTP are not affected.
  assert.is(await own.ok(["run", "--rm", "--net", "none", "host:/", "echo", "here"]), "here\n");
  for (const socket of sockets) socket.destroy();
  await until(async () => (await ping(own.socket)).status === 200, "the engine to answer again");
});
