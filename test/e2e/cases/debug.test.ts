/** `tsbox debug`: tools next to a container whose image has none. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { needsRoot, suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { alive, binary, type Engine, engine, until } from "../src/engine.ts";
import { busyboxLayout, needsTools, registry } from "../src/images.ts";
import { Terminal } from "../src/terminal.ts";

const test = suite("debug", { timeout: 120_000 });
const reason =
  needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ?? needsTools("umoci", "busybox", "script");

const layers = (own: Engine): readonly string[] =>
  readdirSync(join(own.root, "storage-overlay", "active")).filter((name) => name.startsWith("tools-"));

test.skipIf(
  reason,
  "the host's tools beside an image that has none: the container's processes, network and files, and nothing of it inside",
  async (t) => {
    const own = await engine(t);
    const image = `oci:${busyboxLayout(t)}:bb`;
    await own.ok([
      "run",
      "-d",
      "--name",
      "box",
      "--net",
      "none",
      "-h",
      "inside",
      image,
      "sh",
      "-c",
      "echo of the container > /own; exec sleep 1001",
    ]);
    assert.is((await own.run(["exec", "box", "bash", "-c", "true"])).code, 127, "this image has no bash");
    const run = (...words: readonly string[]): Promise<string> => own.ok(["debug", "box", ...words]);
    assert.match(await run("ps", "-eo", "pid,args"), /^ +PID COMMAND\n +1 sleep 1001\n +\d+ ps -eo pid,args\n$/);
    assert.is(await run("cat", "/proc/1/root/own"), "of the container\n");
    assert.is(await run("hostname"), "inside\n");
    assert.is((await run("ls", "/sys/class/net")).trim(), "lo");
    const { State } = await own.inspect("box");
    const [mounts, root] = [readFileSync(`/proc/${State.Pid}/mountinfo`, "utf8"), readdirSync(`/proc/${State.Pid}/root`)];
    const going = own.client(["debug", "box", "sh", "-c", "echo x > /made; echo there; sleep 1002"]);
    let shown = "";
    going.process.stdout?.on("data", (text: string) => (shown += text));
    await until(() => shown === "there\n", "the tools to run");
    assert.is(readFileSync(`/proc/${State.Pid}/mountinfo`, "utf8"), mounts);
    assert.equal(readdirSync(`/proc/${State.Pid}/root`).sort(), [...root].sort());
    assert.not.ok(existsSync("/made"));
    assert.is(layers(own).length, 1);
    // The tools end with the container, and their layer is removed.
    await own.ok(["kill", "box"]);
    assert.is((await going.ended).code, 137);
    await until(() => layers(own).length === 0, "the layer of the tools to go");
    await own.ok(["wait", "box"]);
    const stopped = await own.run(["debug", "box", "true"]);
    assert.equal([stopped.code, /is not running/.test(stopped.stderr)], [1, true]);
  },
);

test.skipIf(reason, "tools of another image, exit codes, a terminal, a container in a user namespace", async (t) => {
  const own = await engine(t);
  const image = `oci:${busyboxLayout(t)}:bb`;
  await own.ok(["run", "-d", "--name", "box", "--userns", "private", "--net", "none", "host:/", "sleep", "1001"]);
  assert.is(
    await own.ok(["debug", "--image", image, "-e", "A=b", "box", "sh", "-c", "echo $A; echo /bin/*"]).then((text) => text.split("\n")[0]),
    "b",
  );
  assert.is((await own.run(["debug", "box", "sh", "-c", "exit 9"])).code, 9);
  assert.is((await own.run(["debug", "box", "no-such-command"])).code, 127);
  const never = await own.run(["debug", "--pull", "never", "--image", "no-such-image:1", "box", "true"]);
  assert.equal([never.code, never.stderr], [1, "tsbox: No such image: no-such-image:1\n"]);
  assert.is((await own.ok(["debug", "box", "cat", "/proc/self/uid_map"])).trim().split(/\s+/)[0], "0");
  const terminal = new Terminal(own, "debug box");
  terminal.type("tty; stty size; exit 5\r");
  assert.is(await terminal.ended, 5);
  assert.match(terminal.output, /\/proc\/1\/root[\s\S]*\/dev\/pts\/0\r\n33 99\r\n/);
  await until(() => layers(own).length === 0, "the layers of the tools to go");
});

test.skipIf(reason, "what a killed daemon leaves of it is swept by the next", async (t) => {
  const own = await engine(t);
  await own.ok(["run", "-d", "--name", "box", "--net", "none", "host:/", "sleep", "1001"]);
  const going = own.client(["debug", "box", "sh", "-c", "while [ ! -e /proc/1/root/go ]; do sleep 0.05; done; exit 8"]).ended;
  await until(async () => (await own.ok(["top", "box"])).includes("/proc/1/root/go"), "the tools to run");
  const daemon = own.daemonPid();
  process.kill(daemon, "SIGKILL");
  await until(() => !alive(daemon), "the daemon to die");
  await own.ok(["exec", "box", "touch", "/go"]);
  assert.equal(await going, { code: 8, stdout: "", stderr: "" }, own.log);
  await until(() => layers(own).length === 0, "the layer to go");
});

test.skipIf(
  reason ?? needsTools("skopeo", "docker-registry"),
  "an image of tools that is not here is pulled first, with its progress on standard error; nothing is left where there is none",
  async (t) => {
    const [own, hub] = [await engine(t), await registry(t)];
    hub.push(busyboxLayout(t), "bb", "tools:1");
    const image = `${hub.address}/tools:1`;
    await own.ok(["run", "-d", "--name", "box", "--net", "none", "host:/", "sleep", "1001"]);
    const first = await own.run(["debug", "--image", image, "box", "sh", "-c", "ls /bin/busybox; exit 4"]);
    assert.equal([first.code, first.stdout], [4, "/bin/busybox\n"]);
    assert.match(
      first.stderr,
      new RegExp(`^Unable to find image '${image}' locally\n[\\s\\S]*Status: Downloaded newer image for ${image}\n$`),
    );
    assert.equal(await own.run(["debug", "--image", image, "box", "true"]), { code: 0, stdout: "", stderr: "" });
    const again = await own.run(["debug", "--pull", "always", "--image", image, "box", "true"]);
    assert.equal([again.code, again.stdout, /Status: Image is up to date for /.test(again.stderr)], [0, "", true], again.stderr);
    const absent = await own.run(["debug", "--image", `${hub.address}/none:1`, "box", "true"]);
    assert.equal([absent.code, absent.stdout], [1, ""]);
    assert.match(absent.stderr, /^Unable to find image '.*none:1' locally\n(.*\n)*tsbox: .*\n$/);
    await until(() => layers(own).length === 0, "the layers of the tools to go");
  },
);
