/**
 * The engine's files that other users of the host can see: the directory of its sockets, and nothing else. A container sees none of them.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type Case, needsRoot, suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { binary, type Engine, engine } from "../src/engine.ts";

const test = suite("who may look", { timeout: 120_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup");
const secret = "do-not-tell-anybody";

/** All paths below a directory, without the contents of mounts. */
function below(directory: string): readonly string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    return [path, ...(entry.isDirectory() ? below(path) : [])];
  });
}

/** The paths that an unprivileged user may open, list, run or connect to. */
function openTo(id: number, paths: readonly string[]): readonly string[] {
  const script = `while IFS= read -r path; do if [ -r "$path" ] || [ -w "$path" ] || { [ -x "$path" ] && [ ! -d "$path" ]; }; then echo "$path"; fi; done`;
  const ids = [`--reuid=${id}`, `--regid=${id}`, "--clear-groups"];
  const ran = spawnSync("setpriv", [...ids, "sh", "-c", script], { input: `${paths.join("\n")}\n`, encoding: "utf8" });
  if (ran.status !== 0) throw new Error(`setpriv: ${ran.stderr}`);
  return ran.stdout.split("\n").filter(Boolean);
}

async function world(t: Case): Promise<Engine> {
  const own = await engine(t);
  // A set-user-ID shell in a container's layer, and secrets in the records of a container that is kept and of one that is not.
  const script = "cp /bin/sh /sh && chmod 6755 /sh && echo ready && exec sleep 1000";
  for (const [name, flags] of [
    ["lasting", ["-v", "data:/data"]],
    ["passing", ["--rm"]],
    ["mapped", ["--userns", "private"]],
  ] as const)
    await own.ok(["run", "-d", "--name", name, "--net", "none", "-e", `SECRET=${secret}`, ...flags, "host:/", "sh", "-c", script]);
  for (const name of ["lasting", "passing", "mapped"]) await own.ok(["exec", name, "sh", "-c", "until [ -u /sh ]; do sleep 0.05; done"]);
  return own;
}

test.skipIf(reason, "a user reaches nothing of the root and state directories while containers run", async (t) => {
  const own = await world(t);
  // The directory of a test's engine is closed completely. Open it as the engine does for its own directories.
  chmodSync(own.state, 0o711);
  chmodSync(join(own.root, ".."), 0o755);
  const paths = [...below(own.root), ...below(own.state)];
  assert.ok(paths.some((path) => path.endsWith("/fs/sh") && (lstatSync(path).mode & 0o4000) !== 0));
  assert.equal(openTo(4321, paths), []);
  assert.is(lstatSync(own.root).mode & 0o077, 0);
  for (const path of paths)
    if (/\/(records\.lmdb[^/]*|record\.json|exec\.json)$/.test(path)) assert.is(lstatSync(path).mode & 0o077, 0, path);
  // Clients of the group tsbox must pass through it.
  assert.is(lstatSync(own.state).mode & 0o001, 0o001);
});

test.skipIf(reason, "what an older engine left open is closed at the start", async (t) => {
  const own = await world(t);
  await own.stop();
  chmodSync(own.state, 0o711);
  for (const path of [join(own.root, ".."), own.root, ...readdirSync(own.root).map((name) => join(own.root, name))])
    if (lstatSync(path).isDirectory()) chmodSync(path, 0o755);
  await own.start();
  assert.is(lstatSync(own.root).mode & 0o077, 0);
  for (const name of ["state", "containers", "content", "storage-overlay", "volume-local"]) {
    const path = join(own.root, name);
    if (existsSync(path)) assert.is(lstatSync(path).mode & 0o077, 0, path);
  }
  assert.equal(openTo(4321, [...below(own.root), ...below(own.state)]), []);
});

test.skipIf(reason, "a container's list of mounts names no directory of its layers", async (t) => {
  const own = await world(t);
  for (const name of ["lasting", "passing", "mapped"]) {
    const mounts = await own.ok(["exec", name, "cat", "/proc/self/mountinfo"]);
    const [root] = mounts.split("\n").filter((line) => line.split(" ")[4] === "/");
    assert.match(root ?? "", / - overlay .*upperdir=/);
    assert.not.match(root ?? "", new RegExp(own.root));
    for (const option of (root ?? "").split(" - ")[1]?.split(/[ ,]/) ?? [])
      if (/^(lowerdir|upperdir|workdir)/.test(option)) assert.match(option, /=(\/proc\/self\/fd\/\d+|above\/(fs|work)|\d+)$/);
  }
});
