/** A peer that is stopped, dead or false: a shim, the daemon, a client. All others go on, and each waiting client gets an error in time. */
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { type Case, needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { alive, binary, children, type Engine, engine, home, until } from "../src/engine.ts";
import { Api } from "../src/life.ts";

const test = suite("silent, dead and lying peers", { timeout: 180_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ?? needsBusybox();

async function ready(t: Case): Promise<Engine> {
  const own = await engine(t);
  await own.ok(["import", "-", "bb"], { input: busyboxTar(t) });
  return own;
}

async function sleeper(own: Engine, name: string, ...flags: readonly string[]): Promise<number> {
  const before = new Set(own.shims());
  await own.ok(["run", "-d", "--name", name, "--net", "none", ...flags, "bb", "sleep", "1000"]);
  const shim = own.shims().find((pid) => !before.has(pid));
  assert.ok(shim, "a container has a shim");
  return shim as number;
}

async function within(milliseconds: number, own: Engine, argv: readonly string[]): Promise<void> {
  const began = performance.now();
  const { code, stderr } = await own.run(argv);
  const took = performance.now() - began;
  assert.is(code, 0, `${argv.join(" ")}: ${stderr}`);
  assert.ok(took < milliseconds, `${argv.join(" ")} took ${took.toFixed(0)} ms`);
}

test.skipIf(reason, "a stopped shim: its container can be killed, stopped and removed, and others don't notice", async (t) => {
  const own = await ready(t);
  for (const verb of [["kill"], ["stop", "-t", "1"], ["rm", "-f"]]) {
    const shim = await sleeper(own, "held");
    process.kill(shim, "SIGSTOP");
    await within(2_000, own, ["run", "--rm", "--net", "none", "bb", "true"]);
    // The shim's own deadlines are longer.
    await within(5_000, own, [...verb, "held"]);
    await until(() => !alive(shim), "the shim to go with its container");
    if (verb[0] !== "rm") {
      await own.ok(["start", "held"]);
      await own.ok(["exec", "held", "true"]);
    }
    assert.is((await own.run(["rm", "-f", "held"])).code, 0);
    assert.is(await own.ok(["ps", "-aq"]), "");
  }
});

/** A network driver that takes as long as the test wants: its containers wait there, ready to run. */
function slowNetwork(t: Case): { readonly package: string; readonly go: () => void } {
  const directory = temporaryDirectory(t);
  const tsbox = { kernel: "^1.0", provides: { "network/slow": "1.0.0" }, needs: { host: "^1.0" } };
  const manifest = { name: "network-slow", version: "1.0.0", type: "module", exports: "./index.js", tsbox };
  writeFileSync(join(directory, "package.json"), JSON.stringify(manifest));
  const go = join(directory, "go");
  writeFileSync(
    join(directory, "index.js"),
    `import { existsSync } from "node:fs";
    import plugin from ${JSON.stringify(join(home, "drivers/network-none/src/index.ts"))};
    const slow = (driver) => {
      driver.powers = driver.powers.filter((power) => power !== "single");
      const attach = driver.attach.bind(driver);
      driver.attach = async (...all) => {
        while (!existsSync(${JSON.stringify(go)})) await new Promise((resolve) => setTimeout(resolve, 10));
        return attach(...all);
      };
      return driver;
    };
    export default {
      parseConfig: (raw) => raw,
      setup: (context) => plugin.setup(Object.create(context, {
        provideDriver: {
          value: (kind, id, provider) => context.provideDriver(kind, "slow", { open: async (call) => slow(await provider.open(call)) }),
        },
      })),
    };`,
  );
  return { package: directory, go: () => writeFileSync(go, "") };
}

test.skipIf(reason, "a shim that is killed before it has reported its container's start leaves no process behind", async (t) => {
  const slow = slowNetwork(t);
  const config = join(temporaryDirectory(t), "config.json");
  writeFileSync(config, JSON.stringify({ plugins: [{ package: slow.package }] }));
  const own = await engine(t, config);
  await own.ok(["import", "-", "bb"], { input: busyboxTar(t) });
  await own.ok(["network", "create", "-d", "slow", "late"]);
  const starting = own.client(["run", "-d", "--name", "lost", "--net", "late", "bb", "sleep", "1000"]);
  // The shim's child waits in read(2) for its release, on its own, and goes on without its shim when that comes.
  const waits = (pid: number): boolean => readFileSync(`/proc/${pid}/syscall`, "utf8").startsWith("0 0x");
  await until(() => own.shims().flatMap(children).some(waits), "the container's process to wait for its network");
  const [shim] = own.shims();
  assert.ok(shim);
  const [pid] = children(shim);
  assert.ok(pid);
  process.kill(shim, "SIGSTOP");
  slow.go();
  await until(() => readlinkSync(`/proc/${pid}/exe`).endsWith("busybox"), "the container's process to run its program");
  process.kill(shim, "SIGKILL");
  const { code, stderr } = await starting.ended;
  assert.is(code, 125);
  assert.match(stderr, /the shim of container [0-9a-f]{12} has ended/);
  assert.not.ok(alive(pid), "the process of a start that failed is still there");
  assert.is(await own.ok(["ps", "-q"]), "");
  await own.ok(["start", "lost"]);
  await own.ok(["exec", "lost", "true"]);
  await own.ok(["rm", "-f", "lost"]);
});

test.skipIf(reason, "a stopped shim: attach and exec over HTTP fail with a message, and restart brings its container back", async (t) => {
  const own = await ready(t);
  const shim = await sleeper(own, "held");
  process.kill(shim, "SIGSTOP");
  const api = new Api(own);
  const [attached, created] = await Promise.all([
    api.ask("POST", "/containers/held/attach?stream=1&stdout=1"),
    api.ask("POST", "/containers/held/exec", { Cmd: ["true"], AttachStdout: true }),
  ]);
  assert.is(attached?.status, 504, attached?.body);
  const { Id } = JSON.parse(created?.body ?? "") as { readonly Id: string };
  assert.is((await api.ask("POST", `/exec/${Id}/start`, {}))?.status, 504);
  await within(6_000, own, ["restart", "-t", "1", "held"]);
  await own.ok(["exec", "held", "true"]);
});

test.skipIf(reason, "a dead shim: what it looked after ends with its container, and its cgroups go", async (t) => {
  const own = await ready(t);
  // In the host's pid namespace the end of the first process kills no other process.
  await own.ok(["run", "-d", "--name", "parent", "--net", "none", "--pid", "host", "bb", "sh", "-c", "sleep 1001 & exec sleep 1000"]);
  const { Id, State } = await own.inspect("parent");
  await until(() => children(State.Pid).length === 1, "its child");
  const kept = children(State.Pid);
  const groups = (): readonly string[] =>
    ["", ...readdirSync("/sys/fs/cgroup")]
      .map((hierarchy) => join("/sys/fs/cgroup", hierarchy, `tsbox-${own.id}`, Id))
      .filter((group) => existsSync(group));
  assert.ok(groups().length > 0, "it has a cgroup");
  for (const shim of own.shims()) process.kill(shim, "SIGKILL");
  await until(async () => (await own.ok(["ps"])).includes("(without its shim)"), "ps to show that the shim is dead");
  process.kill(State.Pid, "SIGKILL");
  assert.is(await own.ok(["wait", "parent"]), "137\n");
  await until(() => !kept.some(alive), "the other processes to end");
  await until(() => groups().length === 0, "its cgroups to go");
  await own.ok(["start", "parent"]);
  await own.ok(["rm", "-f", "parent"]);
});

test.skipIf(reason, "a dead shim: ps and inspect say so, and the container is removed, paused or not", async (t) => {
  const own = await ready(t);
  for (const paused of [false, true]) {
    const shim = await sleeper(own, "orphan");
    if (paused) await own.ok(["pause", "orphan"]);
    const { State } = await own.inspect("orphan");
    process.kill(shim, "SIGKILL");
    await until(async () => (await own.ok(["ps"])).includes("(without its shim)"), "ps to show that the shim is dead");
    assert.match(JSON.stringify(await own.inspect("orphan")), /its shim is dead/);
    await within(5_000, own, ["rm", "-f", "orphan"]);
    assert.ok(!alive(State.Pid), "the container's process is left");
  }
});

test.skipIf(reason, "a stopped shim does not keep a new daemon from serving, nor a new engine", async (t) => {
  const own = await ready(t);
  const shim = await sleeper(own, "held");
  await sleeper(own, "other");
  process.kill(shim, "SIGSTOP");
  t.cleanup(() => alive(shim) && process.kill(shim, "SIGCONT"));
  const daemon = own.daemonPid();
  process.kill(daemon, "SIGKILL");
  await until(() => !alive(daemon), "the daemon to die");
  await within(10_000, own, ["exec", "other", "true"]);
  await own.stop();
  await own.start();
  await within(10_000, own, ["exec", "other", "true"]);
  await within(10_000, own, ["rm", "-f", "held"]);
  assert.is((await own.ok(["ps", "-q"])).trim().split("\n").length, 1);
});

const pings = (own: Engine): Promise<boolean> =>
  new Promise((resolve) => {
    const asked = get({ socketPath: own.socket, path: "/_ping", timeout: 1000 }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    asked.on("timeout", () => asked.destroy());
    asked.on("error", () => resolve(false));
  });

test.skipIf(reason, "a daemon that dies again and again is started again with a pause, and the log says why it died", async (t) => {
  const own = await ready(t);
  for (let at = 0; at < 4; at += 1) {
    // Ready, without a command of the launcher's clients: a daemon that has served a client counts as healthy.
    await until(() => pings(own), "a daemon that answers");
    const daemon = own.daemonPid();
    process.kill(daemon, "SIGKILL");
    await until(() => !alive(daemon), "the daemon to die");
  }
  await own.ok(["version"]);
  assert.match(own.log, /the daemon was killed by signal 9; it is started again\n/);
  assert.match(own.log, /the daemon was killed by signal 9; it is started again in 0\.2 s/);
});

/** Writes bytes as a client of the launcher would, and returns when the connection has ended. */
function say(own: Engine, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(launcherSocket(own));
    socket.on("error", () => {});
    socket.on("close", () => resolve());
    socket.resume();
    socket.write(bytes);
  });
}

const launcherSocket = (own: Engine): string => {
  const known = ["launcher.sock", "tsbox.launcher.sock", "tsbox.sock.launcher"].map((name) => join(own.state, name));
  return known.find(existsSync) ?? "";
};

test.skipIf(
  reason,
  "a client that breaks the protocol is disconnected, half a frame is awaited, and no other client is affected",
  async (t) => {
    const own = await ready(t);
    const header = (length: number, kind: number, descriptors: number): Buffer => {
      const bytes = Buffer.alloc(12);
      bytes.writeUInt32LE(length, 0);
      bytes[8] = kind;
      bytes[9] = descriptors;
      return bytes;
    };
    await say(own, Buffer.alloc(64, 0xff));
    await say(own, header(0xffffffff, 1, 0));
    await say(own, header(0, 1, 3));
    await say(own, Buffer.concat([header(2, 1, 0), Buffer.from("{}")]));
    const half = connect(launcherSocket(own));
    half.on("error", () => {});
    half.write(header(1000, 1, 0));
    t.cleanup(() => half.destroy());
    await within(5_000, own, ["ps"]);
    assert.match(own.log, /does not speak the protocol/);
  },
);

test.skipIf(reason, "an answer of many megabytes reaches its client whole, and the next command its own", async (t) => {
  const own = await ready(t);
  // 80,000 names of 230 bytes: the list is longer than the longest frame.
  const script =
    "i=0; long=$(printf '%0220d' 0); mkdir /d; cd /d; while [ $i -lt 800 ]; do mkdir $i; cd $i; for n in $(seq 100); do : >$long$n; done; cd ..; i=$((i+1)); done";
  await own.ok(["run", "--name", "many", "--net", "none", "bb", "sh", "-c", script], { timeout: 120_000 });
  const { code, stdout, stderr } = await own.run(["diff", "many"], { timeout: 120_000 });
  assert.is(code, 0, stderr);
  assert.ok(stdout.length > 17 << 20, `${stdout.length} bytes`);
  assert.is(stdout.split("\n").filter((line) => line.includes("/d/")).length, 80_800);
  await within(5_000, own, ["ps"]);
  assert.ok(readFileSync(`/proc/${own.daemonPid()}/stat`, "utf8").length > 0);
});
