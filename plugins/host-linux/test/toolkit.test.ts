import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type Case, needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import { createCall, fail, type HostToolkit, isTsboxError, silentLog, withMounts } from "@tsbox/kernel";
import { type Binding, loadBinding } from "../src/binding.ts";
import { createToolkit } from "../src/toolkit.ts";

const call = createCall(silentLog);
const test = suite("host-linux");

function binding(current: Case): Binding {
  try {
    return loadBinding();
  } catch (error) {
    return current.skip(error instanceof Error ? error.message : String(error));
  }
}

function toolkit(current: Case): HostToolkit {
  return createToolkit(binding(current), new Map(), () => Promise.reject(fail("Unavailable", "no launcher here")));
}

test("a tree goes through diff and apply, and its hashes are those of the file", async (current) => {
  const host = toolkit(current);
  const directory = temporaryDirectory(current);
  const [source, target, file] = [join(directory, "source"), join(directory, "target"), join(directory, "layer")];
  mkdirSync(source);
  mkdirSync(target);
  writeFileSync(join(source, "a"), "content");
  linkSync(join(source, "a"), join(source, "b"));
  const written = await host.diff(call, null, source, { path: file, mediaType: "application/vnd.oci.image.layer.v1.tar+gzip" });
  assert.equal(written.digest, `sha256:${createHash("sha256").update(readFileSync(file)).digest("hex")}`);
  assert.equal(written.size, readFileSync(file).length);
  const applied = await host.apply(call, target, { path: file, mediaType: "application/vnd.oci.image.layer.v1.tar+gzip" });
  assert.deepEqual(applied, written);
  assert.equal(lstatSync(join(target, "a")).ino, lstatSync(join(target, "b")).ino);
  assert.equal((await host.usage(call, target)).inodes, 2);
  await host.copyTree(call, target, join(directory, "copy"));
  await host.sync(call, directory);
  await host.removeTree(call, target);
  assert.deepEqual(readdirSync(directory).sort(), ["copy", "layer", "source"]);
});

test("a directory gets another one's owner, mode, time and attributes, and keeps its contents", async (current) => {
  const host = toolkit(current);
  const directory = temporaryDirectory(current, "/var/tmp");
  const [from, to] = [join(directory, "from"), join(directory, "to")];
  for (const path of [from, to]) mkdirSync(path);
  writeFileSync(join(to, "a"), "content");
  const attribute = (path: string, key: string): unknown => execFileSync("setfattr", ["-n", key, "-v", "x", path]);
  attribute(from, "user.wanted");
  attribute(from, "trusted.overlay.origin");
  attribute(to, "user.unwanted");
  chownSync(from, 12, 34);
  chmodSync(from, 0o2711);
  utimesSync(from, 1_000_000_000.5, 1_000_000_000.5);
  await host.copyAttributes(call, from, to);
  const { uid, gid, mode, mtimeMs } = lstatSync(to);
  assert.deepEqual([uid, gid, mode & 0o7777, mtimeMs], [12, 34, 0o2711, 1_000_000_000_500]);
  const found = execFileSync("getfattr", ["-d", "-m", "^(user|trusted)", "--absolute-names", to], { encoding: "utf8" });
  assert.deepEqual(found.trim().split("\n").slice(1), ['user.wanted="x"']);
  assert.deepEqual(readdirSync(to), ["a"]);
});

test("a small file is read below a root, wherever its links point", async (current) => {
  const host = toolkit(current);
  const root = temporaryDirectory(current);
  mkdirSync(join(root, "etc"));
  writeFileSync(join(root, "etc", "passwd"), "inside");
  symlinkSync("/etc/passwd", join(root, "absolute"));
  symlinkSync("../../../../../etc/passwd", join(root, "dots"));
  for (const name of ["absolute", "dots", "/etc/passwd"]) {
    assert.equal(Buffer.from(await host.readFile(call, root, name, 100)).toString(), "inside");
  }
  const code = (wanted: string) => (error: unknown) => isTsboxError(error) && error.code === wanted;
  await assert.rejects(host.readFile(call, root, "absolute", 5), code("ResourceExhausted"));
  await assert.rejects(host.readFile(call, root, "etc", 5), code("InvalidArgument"));
  await assert.rejects(host.readFile(call, root, "etc/shadow", 5), code("NotFound"));
});

test("what fails has a code, and leaves no file behind", async (current) => {
  const host = toolkit(current);
  const directory = temporaryDirectory(current);
  const file = join(directory, "layer");
  writeFileSync(join(directory, "bad"), "x".repeat(2048));
  const layer = { path: join(directory, "bad"), mediaType: "application/vnd.oci.image.layer.v1.tar" };
  await assert.rejects(host.apply(call, directory, layer), (error) => isTsboxError(error) && error.code === "InvalidArgument");
  const missing = { path: join(directory, "missing"), mediaType: layer.mediaType };
  await assert.rejects(
    host.apply(call, directory, missing),
    (error) =>
      isTsboxError(error) && error.code === "NotFound" && error.errno === 2 && error.syscall === "open" && error.path === missing.path,
  );
  writeFileSync(join(directory, ".wh.name"), "");
  await assert.rejects(
    host.diff(call, null, directory, { ...layer, path: file }),
    (error) => isTsboxError(error) && error.code === "Unsupported",
  );
  assert.equal(existsSync(file), false);
  await assert.rejects(host.copyTree(call, directory, directory), (error) => isTsboxError(error) && error.code === "AlreadyExists");
});

test("a canceled call stops with the caller's reason", async (current) => {
  const host = toolkit(current);
  const directory = temporaryDirectory(current);
  const controller = new AbortController();
  const canceled = createCall(silentLog, { signal: controller.signal });
  writeFileSync(join(directory, "large"), Buffer.alloc(64 << 20, 1));
  const running = host.diff(canceled, null, directory, {
    path: `${directory}.layer`,
    mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
  });
  controller.abort(fail("Canceled", "the user pressed ctrl-C"));
  await assert.rejects(running, /ctrl-C/);
  assert.equal(existsSync(`${directory}.layer`), false);
});

test.skipIf(needsRoot(), "detached mounts are open by path until they are closed, and never in the mount table", async (current) => {
  const host = toolkit(current);
  const directory = temporaryDirectory(current);
  for (const name of ["lower", "upper", "work"]) mkdirSync(join(directory, name));
  writeFileSync(join(directory, "lower", "below"), "1");
  const options = [`lowerdir+=${directory}/lower`, `upperdir=${directory}/upper`, `workdir=${directory}/work`];
  let path = "";
  await withMounts(call, host, [{ type: "overlay", source: "overlay", target: null, options }], async (root) => {
    path = root;
    assert.equal(readFileSync(join(root, "below"), "utf8"), "1");
    writeFileSync(join(root, "above"), "2");
    assert.equal(readFileSync("/proc/self/mounts", "utf8").includes(directory), false);
    assert.match(execFileSync("cat", [join(root, "above")], { encoding: "utf8" }), /2/);
  });
  assert.equal(existsSync(path), false);
  assert.equal(readFileSync(join(directory, "upper", "above"), "utf8"), "2");
  await assert.rejects(host.close(call, path), (error) => isTsboxError(error) && error.code === "NotFound");
});

test("the addon knows the cgroup layout and compiles a seccomp profile", (current) => {
  const native = binding(current);
  assert.match(native.callNow("cgroupLayout", {}), /^(v1|hybrid|v2)$/);
  const program = native.compileSeccomp(
    JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_X86_64"], syscalls: [] }),
  );
  assert.equal(program.length % 8, 0);
  assert.throws(
    () => native.compileSeccomp("{"),
    (error) => isTsboxError(error) && error.code === "InvalidArgument",
  );
});
