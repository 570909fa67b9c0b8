/**
 * A network of a third-party driver that is late, fails, or never comes: the container's process waits for it, and executes nothing before
 * it is there.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Case, needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { binary, type Engine, engine, until } from "../src/engine.ts";

const test = suite("a network that is late", { timeout: 120_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");

/** A driver as an npm package: a manifest and a module. A file controls whether it attaches, or how it fails. */
const driver = (word: string): string => `
import { watch, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
const word = () => { try { return readFileSync(${JSON.stringify(word)}, "utf8"); } catch { return ""; } };
const late = {
  powers: [],
  async check() {},
  async ensure() {},
  async attach(call) {
    writeFileSync(${JSON.stringify(`${word}.asked`)}, "");
    const watcher = watch(dirname(${JSON.stringify(word)}));
    while (word() === "") await new Promise((resolve) => watcher.once("change", resolve));
    watcher.close();
    if (word() !== "come") throw new Error(word());
    return { addresses: ["10.9.8.7/24"], mac: "", routes: [], gateway: null, ports: [], nameservers: [] };
  },
  async detach() {},
  async remove() {},
  async *list() {},
};
export default { parseConfig: () => null, setup: (context) => context.provideDriver("network", "late", { open: async () => late }) };
`;

interface World {
  readonly own: Engine;
  /** Writes the file: "come", or the failure. */
  say(word: string): void;
  /** This file exists once the driver was called. */
  readonly asked: string;
  /** The directory to which the container writes. */
  readonly volume: string;
}

async function world(t: Case): Promise<World> {
  const directory = temporaryDirectory(t);
  const [plugin, words, volume] = ["network-late", "words", "volume"].map((name) => join(directory, name)) as [string, string, string];
  for (const folder of [plugin, words, volume]) mkdirSync(folder);
  const tsbox = { kernel: "^1.0", provides: { "network/late": "1.0.0" }, needs: {} };
  writeFileSync(
    join(plugin, "package.json"),
    JSON.stringify({ name: "network-late", version: "1.0.0", type: "module", exports: "./index.js", tsbox }),
  );
  const word = join(words, "word");
  writeFileSync(join(plugin, "index.js"), driver(word));
  const config = join(directory, "config.json");
  writeFileSync(config, JSON.stringify({ plugins: [{ package: plugin }] }));
  const own = await engine(t, config);
  await own.ok(["network", "create", "-d", "late", "slow"]);
  return { own, asked: `${word}.asked`, volume, say: (text) => writeFileSync(word, text) };
}

const run = ({ volume }: World): readonly string[] => [
  "run",
  "--name",
  "waiting",
  "--net",
  "slow",
  "-v",
  `${volume}:/out`,
  "host:/",
  "sh",
  "-c",
];

/** The pid of the process that becomes the container's first, once it only waits for its release. */
async function held(own: Engine): Promise<number> {
  let found = 0;
  await until(() => {
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      try {
        if (readFileSync(`/proc/${pid}/comm`, "utf8") !== "tsbox:[init]\n" || !existsSync(`/proc/${pid}/root/out`)) continue;
        const cgroup = readFileSync(`/proc/${pid}/cgroup`, "utf8");
        // It is in its new root, in a read system call.
        if (cgroup.includes(own.id) && readFileSync(`/proc/${pid}/syscall`, "utf8").startsWith("0 ")) found = Number(pid);
      } catch {
        // The process ended, or this process may not inspect it.
      }
    }
    return found !== 0;
  }, "the process that waits");
  return found;
}

test.skipIf(reason, "the process runs when the network is there, with its address in /etc/hosts", async (t) => {
  const here = await world(t);
  const running = here.own.client([...run(here), "cat /etc/hosts > /out/ran"]).ended;
  await held(here.own);
  assert.is(existsSync(join(here.volume, "ran")), false);
  here.say("come");
  assert.is((await running).code, 0);
  assert.match(readFileSync(join(here.volume, "ran"), "utf8"), /^10\.9\.8\.7\t/m);
});

test.skipIf(reason, "a network that fails says why, and nothing has run", async (t) => {
  const here = await world(t);
  const running = here.own.client([...run(here), "touch /out/ran"]).ended;
  const pid = await held(here.own);
  here.say("the cable is not plugged in");
  const { code, stderr } = await running;
  assert.is(code, 125);
  assert.match(stderr, /the cable is not plugged in/);
  assert.not.match(stderr, /given up/);
  await until(() => !existsSync(`/proc/${pid}`), "its process to end");
  assert.is(existsSync(join(here.volume, "ran")), false);
  assert.is((await here.own.inspect("waiting")).State.Status, "created");
});

test.skipIf(reason, "a start that fails meanwhile says why, whatever becomes of the network", async (t) => {
  const here = await world(t);
  for (const word of ["come", "there is no such namespace"]) {
    here.say("");
    const command = ["run", "--rm", "--net", "slow", "--sysctl", "net.ipv4.nosuch=1", "host:/", "true"];
    const running = here.own.client(command).ended;
    await until(() => existsSync(here.asked) && here.own.shims().length === 0, "the network to be asked, and the shim to end");
    rmSync(here.asked);
    here.say(word);
    const { code, stderr } = await running;
    assert.is(code, 125, word);
    assert.match(stderr, /nosuch/, word);
  }
});

test.skipIf(reason, "kill -9 of the daemon meanwhile: nothing has run, and the container can be started", async (t) => {
  const here = await world(t);
  const running = here.own.client([...run(here), "touch /out/ran"]).ended;
  const pid = await held(here.own);
  process.kill(here.own.daemonPid(), "SIGKILL");
  const { code, stderr } = await running;
  assert.is(code, 125);
  assert.match(stderr, /the daemon died, and container waiting was not started: start it again/);
  await until(() => !existsSync(`/proc/${pid}`), "its process to end");
  assert.is(existsSync(join(here.volume, "ran")), false);
  assert.is((await here.own.inspect("waiting")).State.Running, false);
  here.say("come");
  assert.is((await here.own.run(["start", "-a", "waiting"])).code, 0);
  assert.is(existsSync(join(here.volume, "ran")), true);
});

test.skipIf(reason, "kill -9 of the launcher meanwhile: nothing has run", async (t) => {
  const here = await world(t);
  const running = here.own.client([...run(here), "touch /out/ran"]).ended;
  const pid = await held(here.own);
  await here.own.killLauncher();
  await until(() => !existsSync(`/proc/${pid}`), "its process to end");
  assert.is((await running).code, 125);
  await here.own.start();
  assert.is((await here.own.inspect("waiting")).State.Running, false);
  assert.is(existsSync(join(here.volume, "ran")), false);
});
