/**
 * A damaged database of records: the engine reports in one line what to do, does not start, and removes nothing. With the backup restored,
 * everything is there again.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { binary, type Engine, engine } from "../src/engine.ts";

const test = suite("damaged records", { timeout: 240_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ?? needsBusybox();

/** The users' data: layers, blobs, volumes. */
const held = (own: Engine): readonly string[] =>
  ["storage-overlay/active", "storage-overlay/committed", "content/blobs/sha256", "volume-local"].flatMap((folder) => {
    const path = join(own.root, folder);
    return existsSync(path) ? readdirSync(path).map((name) => `${folder}/${name}`) : [];
  });

const damages: Readonly<Record<string, (path: string) => void>> = {
  empty: (path) => writeFileSync(path, ""),
  truncated: (path) => truncateSync(path, 2 * 4096),
  "a page of noise": (path) => {
    const bytes = readFileSync(path);
    for (let at = 2 * 4096; at < bytes.length; at += 1) bytes[at] = (at * 31) & 0xff;
    writeFileSync(path, bytes);
  },
  missing: (path) => rmSync(path),
};

test.skipIf(reason, "empty, truncated, damaged, missing: nothing goes, and the copy that is named brings all back", async (t) => {
  const own = await engine(t);
  const tar = join(temporaryDirectory(t, "/var/tmp"), "rootfs.tar");
  writeFileSync(tar, busyboxTar(t));
  await own.ok(["import", tar, "bb:1"]);
  const script = "cat /kept /data/kept 2>/dev/null || { echo layer >/kept; echo volume >/data/kept; }";
  await own.ok(["run", "--name", "box", "--net", "none", "-v", "vol:/data", "bb:1", "sh", "-c", script]);
  await own.stop();
  await own.start();
  await own.stop();
  const path = join(own.root, "state/records.lmdb");
  const before = held(own);
  assert.ok(before.length >= 4, before.join(" "));
  for (const [name, damage] of Object.entries(damages)) {
    damage(path);
    // Twice: the second start must not trust the result of the first.
    for (let at = 0; at < 2; at += 1) {
      const why = await own.start().then(
        () => "it started",
        (error: unknown) => String(error),
      );
      const line = why.split("\n").find((one) => one.includes("go back to the copy")) ?? why;
      assert.match(
        line,
        /the engine's records \(\S+\) can't be used: .+; nothing was changed; go back to the copy of .+`cp \S+ \S+`/,
        name,
      );
      await own.stop();
      assert.equal(held(own), before, name);
    }
    execFileSync("cp", [`${path}.1`, path]);
    await own.start();
    assert.is(await own.ok(["start", "-a", "box"]), "layer\nvolume\n", name);
    assert.match(await own.ok(["images"]), /^bb +1 /m);
    assert.match(await own.ok(["volume", "ls", "-q"]), /^vol$/m);
    await own.stop();
    assert.equal(held(own), before, name);
  }
  await own.start();
});
