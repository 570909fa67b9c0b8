/** Drivers that the config file adds: the same package once more, under another id and with its own data. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { binary, engine, until } from "../src/engine.ts";

const test = suite("further drivers", { timeout: 180_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ?? needsBusybox();

test.skipIf(
  reason,
  "volumes, layers and networks of further drivers are used, kept over a restart, and apart from the first ones",
  async (t) => {
    const config = join(temporaryDirectory(t), "config.json");
    const further = {
      volume: { scratch: { driver: "local" } },
      storage: { copies: { driver: "vfs" } },
      network: { quiet: { driver: "none" }, second: { driver: "bridge" } },
    };
    writeFileSync(config, JSON.stringify(further));
    const own = await engine(t, config);
    await own.ok(["import", "-", "bb"], { input: busyboxTar(t) });
    for (const driver of ["local", "scratch"]) await own.ok(["volume", "create", "-d", driver, `of-${driver}`]);
    await own.ok(["network", "create", "-d", "second", "--subnet", "10.213.71.0/24", "second-net"]);
    await own.ok(["network", "create", "--subnet", "10.213.72.0/24", "first-net"]);
    const words = ["--storage", "copies", "-v", "of-local:/one", "-v", "of-scratch:/two", "bb", "sh", "-c"];
    await own.ok(["run", "-d", "--name", "live", "--net", "second-net", ...words, "echo 1 >/one/file; echo 2 >/two/file; exec sleep 1000"]);
    assert.ok(readdirSync(join(own.root, "storage-copies/active")).some((name) => name.startsWith("container-")));
    const file = join(own.root, "volume-scratch", "of-scratch", "_data/file");
    await until(() => existsSync(file) && readFileSync(file, "utf8") === "2\n", "the file in the volume of the further driver");
    const reach = (name: string): Promise<string> => own.ok(["exec", name, "ping", "-c", "1", "-w", "5", "10.213.71.1"]);
    await reach("live");

    // Removing the last network of one bridge driver leaves the other's firewall alone.
    await own.ok(["run", "--rm", "--net", "first-net", "bb", "true"]);
    await own.ok(["network", "rm", "first-net"]);
    await reach("live");
    await own.stop();
    await own.start();
    await reach("live");
    assert.is(await own.ok(["exec", "live", "cat", "/one/file", "/two/file"]), "1\n2\n");
    const plugins = await own.ok(["plugins"]);
    assert.match(plugins, /volume-scratch +\S+ +volume\/scratch +ok +works here, but local comes first in the list of plugins/);
    assert.match(plugins, /@tsbox\/exec-native +\S+ +exec\/native +ok +yes +\S/);
    assert.match(await own.ok(["plugins", "--format", "json"]), /"offer":"volume\/local",[^}]*"chosen":true,"why":"none has a rank/);
    const why = await own.ok(["info", "--why"]);
    assert.match(why, /^storage: overlay: .*\n( {2}not .*\n)*? {2}not copies: works here, but \S/m);
    assert.match(why, /^network: bridge: .*\n( {2}not .*\n)* {2}not quiet: works here, but \S/m);
    const info = JSON.parse(await own.ok(["info", "--format", "json"])) as { readonly TsboxDrivers: readonly { readonly kind: string }[] };
    assert.equal(info.TsboxDrivers.map(({ kind }) => kind).sort(), ["exec", "log", "network", "registry", "storage", "volume"]);
    await own.ok(["rm", "-f", "live"]);
    await own.ok(["network", "rm", "second-net"]);

    await own.stop();
    writeFileSync(config, JSON.stringify({ ...further, exec: { gvisor: { driver: "ocy", path: "runsc" } } }));
    const { status, stderr } = spawnSync(binary, ["daemon", "--root", own.root, "--state", own.state, "--config", config], {
      env: own.environment,
      encoding: "utf8",
      timeout: 60_000,
    });
    assert.is.not(status, 0);
    assert.match(stderr, /exec\.gvisor names the exec driver ocy, which no plugin provides \(installed: native/);
  },
);
