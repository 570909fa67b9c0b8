/** Wrong input: one line with the error and its reason, the right exit code, nothing left behind. */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { binary, engine } from "../src/engine.ts";
import { needsTools } from "../src/images.ts";

const test = suite("bad input", { timeout: 120_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");

test.skipIf(reason, "each is refused with Docker's exit code, in one line, and leaves no container and no layer", async (t) => {
  const own = await engine(t);
  const run = ["run", "--rm", "--net", "none"] as const;
  for (const [argv, code, words] of [
    [["run", "--no-such-flag", "host:/"], 125, /unknown flag: --no-such-flag/],
    [["run"], 1, /requires at least 1 argument/],
    [["no-such-command"], 1, /unknown command: no-such-command/],
    [[...run, "host:/no/such/directory", "true"], 125, /no such directory/],
    [[...run, "-m", "lots", "host:/", "true"], 125, /invalid size: 'lots'/],
    [[...run, "-m", "1m", "host:/", "true"], 125, /Minimum memory limit allowed is 6MB/],
    [[...run, "-p", "x:y", "host:/", "true"], 125, /invalid publish specification/],
    [[...run, "-v", "named:relative", "host:/", "true"], 125, /absolute/],
    [[...run, "--mount", "type=bind,src=/no/such/source,dst=/x", "host:/", "true"], 125, /\/no\/such\/source/],
    [[...run, "-w", "relative", "host:/", "true"], 125, /absolute path/],
    [[...run, "-u", "nobody-of-that-name", "host:/", "true"], 125, /unable to find user nobody-of-that-name/],
    [[...run, "--cap-add", "NOPE", "host:/", "true"], 125, /invalid capability "NOPE"/],
    [[...run, "--platform", "plan9/386", "host:/", "true"], 125, /invalid platform/],
    [[...run, "--storage", "nope", "host:/", "true"], 125, /no storage driver is called nope/],
    [[...run, "--exec", "nope", "host:/", "true"], 125, /no exec driver is called nope/],
    [["run", "--rm", "--net", "nope", "host:/", "true"], 125, /network nope not found/],
    [["run", "--rm", "--name", "-bad-", "host:/", "true"], 125, /Invalid container name/],
    [["exec", "nobody"], 1, /requires at least 2 arguments/],
    [["exec", "nobody", "true"], 1, /No such container: nobody/],
    [["exec", "--detach-keys", "ctrl-", "nobody", "true"], 1, /invalid detach keys/],
    [["exec", "--env-file", "/no/such/file", "nobody", "true"], 125, /no such file or directory/],
    [[...run, "-a", "nothing", "host:/", "true"], 125, /valid streams are STDIN, STDOUT and STDERR/],
    [["top", "nobody"], 1, /No such container: nobody/],
    [["stats", "--no-stream", "nobody"], 1, /No such container: nobody/],
    [["update", "--pids-limit", "many", "nobody"], 125, /not a whole number/],
    [["port", "nobody"], 1, /No such container: nobody|No such object/],
    [["debug", "nobody"], 1, /No such container: nobody/],
    [["stop", "nobody"], 1, /No such container: nobody/],
    [["logs", "nobody"], 1, /No such container: nobody/],
    [["rmi", "nobody"], 1, /No such image: nobody:latest/],
    [["kill", "-s", "NOPE", "nobody"], 1, /No such container|Invalid signal/],
    [["ps", "--filter", "nonsense=1"], 1, /invalid filter 'nonsense'/],
    [["inspect", "nobody"], 1, /No such object: nobody/],
  ] as const) {
    const ran = await own.run(argv);
    const said = `${argv.join(" ")}: ${ran.code} ${ran.stderr}`;
    assert.is(ran.code, code, said);
    assert.match(ran.stderr, words, said);
    assert.match(ran.stderr.split("\n\n")[0] ?? "", /^(tsbox|Error): [^\n]+\n?$/, said);
  }
  assert.is((await own.run(["ps", "-aq"])).stdout, "");
  assert.equal(readdirSync(join(own.state, "containers")), []);
  assert.equal(readdirSync(join(own.root, "storage-overlay/active")), []);
});

test.skipIf(reason, "an invalid configuration is reported by the command that starts the engine, with the key", async (t) => {
  const directory = temporaryDirectory(t);
  const config = join(directory, "config.json");
  for (const [text, words] of [
    ["{ not json", /config\.json/],
    ['{"storge": "overlay"}', /unknown key "storge"/],
    ['{"drivers": {"storage": "zfs"}}', /names the storage driver zfs, which is not installed/],
    ['{"drivers": {"storage": "overlay2"}}', /names the storage driver overlay2: overlay stands in its place; write "drivers"/],
    ['{"storage": "aufs"}', /storage: overlay stands in the place of aufs; to choose one write "drivers": \{"storage": "overlay"\}/],
    ['{"drivers": 7}', /drivers/],
  ] as const) {
    writeFileSync(config, text);
    const state = join(directory, "state");
    const ran = spawnSync(binary, ["version"], {
      encoding: "utf8",
      env: { PATH: process.env.PATH ?? "", TSBOX_STATE: state, TSBOX_ROOT: join(directory, "root"), TSBOX_CONFIG: config },
    });
    assert.is(ran.status, 125, ran.stderr);
    assert.match(ran.stderr, words);
  }
});

test.skipIf(reason ?? needsTools("setpriv"), "a user who is not root gets an error that says so", async (t) => {
  const directory = temporaryDirectory(t);
  chmodSync(directory, 0o755);
  const client = (environment: Readonly<Record<string, string>>): { status: number | null; stderr: string } =>
    spawnSync("setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups", binary, "ps"], {
      encoding: "utf8",
      env: { PATH: process.env.PATH ?? "", ...environment },
    });
  const nowhere = client({ TSBOX_STATE: join(directory, "none") });
  if (nowhere.status === null) return t.skip("the checkout can't be read by another user");
  assert.is(nowhere.status, 125);
  assert.match(nowhere.stderr, /^tsbox: no engine runs on this host, and only root can start one[^\n]*\n$/);
  const own = await engine(t);
  const closed = client({ TSBOX_STATE: own.state });
  assert.is(closed.status, 125);
  assert.match(closed.stderr, /^tsbox: permission denied on [^\n]*\n$/);
});
