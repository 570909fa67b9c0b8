/**
 * A plugin's directory is named by what the plugin provides. Older engines named it by the entry in the operator's list: their data is
 * taken over, and stays when the package moves.
 */
import { existsSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { binary, engine } from "../src/engine.ts";
import { strangersDriver } from "../src/strangers.ts";

const test = suite("plugin directories", { timeout: 180_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ?? needsBusybox();

test.skipIf(reason, "layers and volumes of an older engine are there after the upgrade, and after the package has moved", async (t) => {
  const directory = temporaryDirectory(t);
  const config = join(directory, "config.json");
  const paths = {
    storage: strangersDriver(directory, "storage", "storage-vfs", "1.0.0"),
    volume: strangersDriver(directory, "volume", "volume-local", "1.0.0"),
  };
  const list = (plugins: readonly string[]): void =>
    writeFileSync(config, JSON.stringify({ plugins: plugins.map((path) => ({ package: path })) }));
  list(Object.values(paths));
  const own = await engine(t, config);
  await own.ok(["import", "-", "bb"], { input: busyboxTar(t) });
  await own.ok(["volume", "create", "-d", "other", "data"]);
  const words = ["--net", "none", "--storage", "other", "-v", "data:/data", "bb"];
  await own.ok(["run", "-d", "--name", "live", ...words, "sh", "-c", "echo layer >/file; echo volume >/data/file; exec sleep 1000"]);
  await own.ok(["create", "--name", "later", ...words, "cat", "/data/file"]);
  const holds = async (): Promise<void> => {
    assert.is(await own.ok(["exec", "live", "cat", "/file", "/data/file"]), "layer\nvolume\n");
    assert.is(await own.ok(["start", "-a", "later"]), "volume\n");
    assert.is(await own.ok(["diff", "live"]), "A /data\nA /file\n");
  };
  await holds();

  // The layout of an older engine, while a container runs.
  await own.stop();
  for (const [kind, path] of Object.entries(paths))
    for (const base of [own.root, own.state]) renameSync(join(base, `${kind}-other`), join(base, path.replaceAll("/", "+")));
  await own.start();
  await holds();
  for (const base of [own.root, own.state])
    assert.equal(
      readdirSync(base).filter((name) => name.startsWith("+")),
      [],
    );

  await own.stop();
  const moved = Object.values(paths).map((path) => {
    renameSync(path, `${path}-moved`);
    return `${path}-moved`;
  });
  list(moved);
  await own.start();
  await holds();
  await own.ok(["restart", "-t", "0", "live"]);
  await holds();
});
