/** `tsbox logs` and docker's own: both streams, times, time spans, the last lines, following, and every log driver. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { needsRoot, suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { binary, type Engine, engine, type Ran, until } from "../src/engine.ts";

const test = suite("logs", { timeout: 120_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");
const docker = ["/usr/local/bin/docker", "/usr/bin/docker"].find(existsSync);

function dockerCli(own: Engine, argv: readonly string[]): Promise<Ran> {
  const child = spawn(docker ?? "", argv as string[], {
    env: { PATH: process.env.PATH ?? "", HOME: own.state, DOCKER_HOST: `unix://${own.socket}` },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  return new Promise((resolve) => child.on("close", (code) => resolve({ code: code ?? 1, stdout, stderr })));
}

for (const driver of ["local", "json-file"]) {
  test.skipIf(reason, `${driver}: streams apart, the last lines, spans and times, attributes, for both clients`, async (t) => {
    const own = await engine(t);
    const script = "echo one; sleep 0.2; echo two >&2; sleep 1.2; echo three; printf four";
    const options = [
      "--log-driver",
      driver,
      "--log-opt",
      "labels=shown",
      "--log-opt",
      "env=MODE",
      "-l",
      "shown=a b",
      "-l",
      "hidden=x",
      "-e",
      "MODE=fast",
    ];
    await own.ok(["run", "--name", "box", "--net", "none", ...options, "host:/", "sh", "-c", script]);
    const clients = [(argv: readonly string[]) => own.run(argv), ...(docker ? [(argv: readonly string[]) => dockerCli(own, argv)] : [])];
    for (const run of clients) {
      assert.equal(await run(["logs", "box"]), { code: 0, stdout: "one\nthree\nfour", stderr: "two\n" });
      assert.equal(await run(["logs", "-n", "3", "box"]), { code: 0, stdout: "three\nfour", stderr: "two\n" });
      assert.equal(await run(["logs", "--tail", "0", "box"]), { code: 0, stdout: "", stderr: "" });
      assert.equal(await run(["logs", "--tail", "all", "-f", "box"]), { code: 0, stdout: "one\nthree\nfour", stderr: "two\n" });
      const { stdout } = await run(["logs", "-t", "box"]);
      const [first = "", third = ""] = stdout.split("\n").map((line) => line.split(" ")[0] ?? "");
      assert.match(stdout, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z one\n.*Z three\n.*Z four$/);
      assert.is((await run(["logs", "--since", third, "box"])).stdout, "three\nfour");
      assert.is((await run(["logs", "--until", first, "box"])).stdout, "one\n");
      assert.is((await run(["logs", "--since", "1h", "--until", "1h", "box"])).stdout, "");
      assert.match((await run(["logs", "--details", "box"])).stdout, /^MODE=fast,shown=a(%20|\+)b one\n/);
    }
    assert.match((await own.run(["logs", "nobody"])).stderr, /^tsbox: No such container: nobody\n$/);
  });
}

test.skipIf(reason, "following: what comes is shown when it comes, until the container ends, or the given moment", async (t) => {
  const own = await engine(t);
  await own.ok(["run", "-d", "--name", "box", "--net", "none", "host:/", "sleep", "1000"]);
  const following = own.client(["logs", "-f", "-n", "1", "box"]);
  let shown = "";
  following.process.stdout?.on("data", (text: string) => (shown += text));
  for (const word of ["first", "second"]) {
    await own.ok(["exec", "box", "sh", "-c", `echo ${word} > /proc/1/fd/1`]);
    await until(() => shown.includes(`${word}\n`), `${word} to be shown`);
  }
  const moment = own.client(["logs", "-f", "--until", new Date(Date.now() + 1500).toISOString(), "box"]);
  assert.equal(await moment.ended, { code: 0, stdout: "first\nsecond\n", stderr: "" });
  await own.ok(["kill", "box"]);
  assert.equal(await following.ended, { code: 0, stdout: "first\nsecond\n", stderr: "" });
});

test.skipIf(reason, "none keeps nothing and says so; a terminal's log is what it showed", async (t) => {
  const own = await engine(t);
  await own.ok(["run", "--name", "box", "--net", "none", "--log-driver", "none", "host:/", "echo", "gone"]);
  const refused = await own.run(["logs", "box"]);
  assert.equal([refused.code, refused.stderr], [1, "tsbox: configured logging driver does not support reading\n"]);
  await own.ok(["run", "-d", "-t", "--name", "tty", "--net", "none", "host:/", "sh", "-c", "echo out; echo err >&2"]);
  await own.ok(["wait", "tty"]);
  assert.equal(await own.run(["logs", "tty"]), { code: 0, stdout: "out\r\nerr\r\n", stderr: "" });
});

test.skipIf(reason, "a million lines come back as they were written; a bounded log has the last ones", async (t) => {
  const own = await engine(t);
  let expected = "";
  for (let at = 1; at <= 1_000_000; at += 1) expected += `${at}\n`;
  const digest = (text: string): string => createHash("sha256").update(text).digest("hex");
  for (const driver of ["local", "json-file"]) {
    await own.ok([
      "run",
      "-d",
      "--name",
      driver,
      "--net",
      "none",
      "--log-driver",
      driver,
      "--log-opt",
      "max-size=1g",
      "host:/",
      "seq",
      "1",
      "1000000",
    ]);
    await own.ok(["wait", driver]);
    const whole = await own.ok(["logs", driver]);
    assert.is(digest(whole), digest(expected), driver);
    assert.is(await own.ok(["logs", "-n", "2", driver]), "999999\n1000000\n");
    await own.ok([
      "run",
      "--rm",
      "-d",
      "--name",
      `${driver}-few`,
      "--net",
      "none",
      "--log-driver",
      driver,
      "--log-opt",
      "max-size=1m",
      "--log-opt",
      "max-file=2",
      "host:/",
      "sh",
      "-c",
      "seq 1 1000000; exec sleep 1000",
    ]);
    await until(async () => (await own.ok(["logs", "-n", "1", `${driver}-few`])) === "1000000\n", "the last line");
    const kept = await own.ok(["logs", `${driver}-few`]);
    assert.ok(kept.length > 100_000 && kept.length < 3 << 20, String(kept.length));
    assert.ok(expected.endsWith(kept.slice(kept.indexOf("\n") + 1)), driver);
  }
});

test.skipIf(reason, "a line without an end and followers that read nothing cost the daemon and the shim no memory", async (t) => {
  const own = await engine(t);
  const peak = (pid: number): number => Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
  const script = "until [ -e /go ]; do sleep 0.02; done; head -c 300000000 /dev/zero | tr '\\0' x; echo; exec sleep 1000";
  for (const driver of ["local", "json-file"])
    await own.ok([
      "run",
      "-d",
      "--name",
      driver,
      "--net",
      "none",
      "--log-driver",
      driver,
      "--log-opt",
      "max-size=100m",
      "host:/",
      "sh",
      "-c",
      script,
    ]);
  const daemon = peak(own.daemonPid());
  const idle: Socket[] = [];
  t.cleanup(() => {
    for (const socket of idle) socket.destroy();
  });
  for (let at = 0; at < 20; at += 1) {
    const socket = connect(own.socket).pause();
    idle.push(socket.on("error", () => {}));
    socket.write(`GET /containers/${at % 2 === 0 ? "local" : "json-file"}/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: x\r\n\r\n`);
  }
  const local = own.client(["logs", "-f", "local"]);
  t.cleanup(() => void local.process.kill("SIGKILL"));
  local.process.stdout?.pause();
  for (const driver of ["local", "json-file"]) {
    await own.ok(["exec", driver, "touch", "/go"]);
    await until(async () => (await own.ok(["logs", "-n", "1", driver])).endsWith("x\n"), `the end of the line (${driver})`, 60_000);
  }
  const grown = peak(own.daemonPid()) - daemon;
  assert.ok(grown < 150 << 20, `the daemon has grown by ${grown >> 20} MiB`);
  for (const pid of own.shims()) assert.ok(peak(pid) < 40 << 20, `a shim takes ${peak(pid) >> 20} MiB`);
});

test.skipIf(
  reason,
  "a follower gets each line once across rotations, and the last line is the one at the time of the request",
  async (t) => {
    const own = await engine(t);
    // A pause after each hundred lines: one file holds some hundreds, so no file is rotated away before it is read.
    const script = "i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); [ $((i % 100)) = 0 ] && sleep 0.02; done; sleep 0.2";
    const expected = Array.from({ length: 3000 }, (_, at) => `${at}\n`).join("");
    for (const driver of ["local", "json-file"]) {
      const options = ["--log-driver", driver, "--log-opt", "max-size=20k", "--log-opt", "max-file=3"];
      await own.ok([
        "run",
        "-d",
        "--name",
        driver,
        "--net",
        "none",
        ...options,
        "host:/",
        "sh",
        "-c",
        `until [ -e /go ]; do sleep 0.02; done; ${script}`,
      ]);
      const followers: Promise<Ran>[] = [own.run(["logs", "-f", driver]), ...(docker ? [dockerCli(own, ["logs", "-f", driver])] : [])];
      await own.ok(["exec", driver, "touch", "/go"]);
      const last = await own.run(["logs", "-n", "1", driver], { timeout: 20_000 });
      assert.is(last.code, 0);
      for (const follower of followers) assert.is((await follower).stdout, expected, driver);
    }
  },
);
