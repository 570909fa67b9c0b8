/**
 * kill -9 of the daemon during commands that make, move and remove files: it restarts, completed work is kept, and no partial work is left.
 */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { isFullRun, needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { docker } from "../src/docker.ts";
import { alive, binary, engine, until } from "../src/engine.ts";
import { ourFronts } from "../src/fronts.ts";

const test = suite("kill -9 within files of images", { timeout: 600_000 });
const reason =
  needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ?? docker.reason ?? needsBusybox();

/** Milliseconds between the start of a command and the daemon's kill. The full run uses all of them for each command. */
const moments: readonly number[] = [5, 40, 150];

test.skipIf(reason, "commit, import, save, load, cp, rmi and prune: each killed in the middle, then done again to the end", async (t) => {
  const own = await engine(t);
  const image = busyboxTar(t);
  ourFronts(own)[0]?.ok(["import", "-", "bb:1"], image);
  await own.ok(["run", "--net", "none", "--name", "box", "bb:1", "sh", "-c", "head -c 20000000 /dev/urandom > /big; echo made > /made"]);
  const directory = temporaryDirectory(t, "/var/tmp");
  const saved = join(directory, "saved.tar");
  writeFileSync(join(directory, "rootfs.tar"), image);
  mkdirSync(join(directory, "files"));
  writeFileSync(join(directory, "files/f"), Buffer.alloc(20_000_000, 7));
  await own.ok(["save", "-o", saved, "bb:1"]);
  const verbs: Readonly<Record<string, readonly string[]>> = {
    commit: ["commit", "box", "made:1"],
    import: ["import", join(directory, "rootfs.tar"), "imported:1"],
    save: ["save", "-o", join(directory, "again.tar"), "bb:1"],
    load: ["load", "-i", saved],
    cp: ["cp", "-q", join(directory, "files"), "box:/srv"],
    rmi: ["rmi", "imported:1"],
    prune: ["image", "prune", "-af"],
  };
  for (const [at, [verb, words]] of Object.entries(verbs).entries()) {
    for (const moment of isFullRun ? moments : [moments[at % moments.length] ?? 0]) {
      const daemon = own.daemonPid();
      const client = own.client(words);
      await pause(moment);
      process.kill(daemon, "SIGKILL");
      await client.ended;
      await until(() => !alive(daemon), "the daemon to end");
      assert.is((await own.run(["version"])).code, 0, `${verb} after ${moment} ms`);
      // Whatever the kill interrupted, every listed image can be run and read completely.
      for (const name of (await own.ok(["images", "-aq"])).split("\n").filter(Boolean))
        await own.ok(["save", "-o", join(directory, "whole.tar"), name]);
      assert.equal(await own.ok(["run", "--rm", "--net", "none", "bb:1", "echo", "whole"]), "whole\n");
    }
    const again = await own.run(words);
    assert.ok(again.code === 0 || (verb === "rmi" && /No such image/.test(again.stderr)), `${verb}: ${again.stderr}`);
    if (verb === "commit") assert.is(await own.ok(["run", "--rm", "--net", "none", "made:1", "cat", "/made"]), "made\n");
  }
  for (const plugin of ["images", "files"]) assert.equal(readdirSync(join(own.root, plugin, "work")), [], plugin);
  await own.ok(["rm", "box"]);
  await own.ok(["rmi", "-f", ...(await own.ok(["images", "-aq"])).split("\n").filter(Boolean)]);
  await own.ok(["image", "prune", "-af"]);
  assert.equal(readdirSync(join(own.root, "storage-overlay/committed")), []);
  assert.equal(readdirSync(join(own.root, "storage-overlay/view")), []);
});
