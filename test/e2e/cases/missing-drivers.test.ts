/**
 * Drivers whose plugin is taken out of the configuration: what belongs to them is shown, nothing is lost or taken for removed, and when
 * they are back, what was removed meanwhile goes.
 */
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Case, needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { binary, type Engine, engine, until } from "../src/engine.ts";
import { strangersDriver } from "../src/strangers.ts";

const test = suite("missing drivers", { timeout: 180_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ?? needsBusybox();

interface World {
  readonly own: Engine;
  /** Starts the engine again, with or without the stranger's plugins. */
  again(present: boolean): Promise<void>;
}

async function world(t: Case): Promise<World> {
  const directory = temporaryDirectory(t);
  const plugins = [
    strangersDriver(directory, "storage", "storage-vfs", "1.0.0"),
    strangersDriver(directory, "network", "network-none", "1.0.0"),
    strangersDriver(directory, "volume", "volume-local", "1.0.0"),
  ];
  const config = join(directory, "config.json");
  const write = (present: boolean): void =>
    writeFileSync(config, JSON.stringify({ plugins: present ? plugins.map((path) => ({ package: path })) : [] }));
  write(true);
  const own = await engine(t, config);
  await own.ok(["import", "-", "bb"], { input: busyboxTar(t) });
  return {
    own,
    again: async (present) => {
      await own.stop();
      write(present);
      await own.start();
    },
  };
}

const refused = async (own: Engine, argv: readonly string[], text: RegExp): Promise<void> => {
  const { code, stderr } = await own.run(argv);
  assert.ok(code !== 0, `${argv.join(" ")} exited 0`);
  assert.match(stderr, text);
};

test.skipIf(reason, "layers of a storage driver that is gone stay, and those of removed containers go when it is back", async (t) => {
  const { own, again } = await world(t);
  const create = async (name: string): Promise<string> =>
    (
      await own.ok([
        "create",
        "--name",
        name,
        "--net",
        "none",
        "--storage",
        "other",
        "bb",
        "sh",
        "-c",
        "echo $RANDOM >>/kept; wc -l </kept",
      ])
    ).trim();
  const [kept, gone] = [await create("kept"), await create("gone")];
  await own.ok(["start", "-a", "kept"]);
  const layers = (): readonly string[] =>
    readdirSync(join(own.root, "storage-other/active")).flatMap((path) => /^container-([0-9a-f]{64})$/.exec(path)?.[1] ?? []);
  assert.equal([...layers()].sort(), [kept, gone].sort());

  await again(false);
  assert.is((await own.ok(["ps", "-a", "--format", "{{.Names}}"])).split("\n").filter(Boolean).length, 2);
  await refused(own, ["start", "kept"], /no storage driver is called other; installed: overlay, btrfs, devicemapper, vfs/);
  // Other drivers are none the worse for it.
  await own.ok(["run", "--rm", "--net", "none", "bb", "true"]);
  await own.ok(["rm", "gone"]);
  assert.ok(own.log.includes("can't remove the layer"), own.log);
  assert.is(layers().length, 2);

  await again(true);
  await until(() => layers().length === 1, "the layer of the removed container to go");
  assert.equal(layers(), [kept]);
  assert.is(await own.ok(["start", "-a", "kept"]), "2\n");
});

test.skipIf(reason, "a network and a volume whose driver is gone are shown, and go by force alone", async (t) => {
  const { own, again } = await world(t);
  for (const name of ["first", "second"]) {
    await own.ok(["network", "create", "-d", "other", `${name}-net`]);
    await own.ok(["volume", "create", "-d", "other", `${name}-data`]);
  }
  await own.ok(["run", "--rm", "--net", "none", "-v", "first-data:/data", "bb", "sh", "-c", "echo word >/data/file"]);
  await again(false);
  assert.match(await own.ok(["network", "ls"]), /first-net/);
  assert.match(await own.ok(["volume", "ls"]), /first-data/);
  await own.ok(["volume", "inspect", "first-data"]);
  await refused(
    own,
    ["network", "rm", "second-net"],
    /no network driver is called other.*install its plugin again, or remove the network with -f/,
  );
  await own.ok(["network", "rm", "-f", "second-net"]);
  await refused(
    own,
    ["volume", "rm", "second-data"],
    /no volume driver is called other.*install its plugin again, or forget the volume with rm -f/,
  );
  await own.ok(["volume", "rm", "-f", "second-data"]);
  await refused(own, ["run", "--rm", "--net", "first-net", "bb", "true"], /no network driver is called other/);
  await refused(own, ["run", "--rm", "-v", "first-data:/data", "bb", "true"], /no volume driver is called other/);
  await refused(own, ["volume", "create", "-d", "other", "third"], /plugin "other" not found/);
  await refused(own, ["network", "create", "-d", "other", "third"], /no network driver is called other/);
  assert.is(await own.ok(["ps", "-aq"]), "");
  await again(true);
  assert.not.match(await own.ok(["network", "ls"]), /second-net/);
  assert.is(await own.ok(["run", "--rm", "--net", "none", "-v", "first-data:/data", "bb", "cat", "/data/file"]), "word\n");
});
