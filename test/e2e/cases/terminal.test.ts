/** `run -it` through a real pseudo-terminal, which script(1) makes. */
import { existsSync } from "node:fs";
import { needsRoot, suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { binary, engine, until } from "../src/engine.ts";
import { Terminal } from "../src/terminal.ts";

const test = suite("run -it", { timeout: 60_000 });
const reason =
  needsRoot() ??
  (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ??
  (existsSync("/usr/bin/script") ? null : "script(1) is not installed");

test.skipIf(reason, "a prompt, the window's size, ctrl-C, ctrl-D and the exit code", async (t) => {
  const own = await engine(t);
  const terminal = new Terminal(own, "run --rm -it --net none -e PS1=ready: host:/ sh");
  await terminal.shows(/ready:/);
  terminal.type("tty; stty size\r");
  await terminal.shows(/\/dev\/pts\/0\r\n33 99\r\n/);
  terminal.type("sleep 100; echo interrupted=$?\r");
  await terminal.shows(/echo interrupted/);
  await until(async () => (await own.run(["ps", "-q"])).stdout !== "", "the container to run");
  terminal.output = "";
  terminal.type("\x03");
  await terminal.shows(/ready:/);
  terminal.type("(exit 42)\r");
  await terminal.shows(/exit 42/);
  terminal.type("\x04");
  assert.is(await terminal.ended, 42);
  assert.is((await own.run(["ps", "-aq"])).stdout, "");
});

test.skipIf(reason, "the detach keys leave the container running", async (t) => {
  const own = await engine(t);
  const terminal = new Terminal(own, "run --name kept -it --net none -e PS1=ready: host:/ sh");
  await terminal.shows(/ready:/);
  terminal.type("\x10\x11");
  assert.is(await terminal.ended, 0);
  assert.is((await own.inspect("kept")).State.Status, "running");
});
