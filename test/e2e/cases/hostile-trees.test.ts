/** Trees that a container makes to deceive their readers: an image has exactly what the container saw, and a busy tree can be read. */
import { execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { type Case, needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { busyboxTar, needsBusybox } from "../src/busybox.ts";
import { needsDockerd } from "../src/dockerd.ts";
import { binary, type Engine, engine } from "../src/engine.ts";
import { dockerFront } from "../src/fronts.ts";
import { needsTools } from "../src/images.ts";

const test = suite("trees that deceive", { timeout: 180_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ?? needsBusybox();

async function world(t: Case): Promise<Engine> {
  const own = await engine(t);
  await own.ok(["import", "-", "bb"], { input: busyboxTar(t) });
  return own;
}

/** The root of a container that runs, as its own processes see it. */
async function rootOf(own: Engine, name: string): Promise<string> {
  return `/proc/${(await own.inspect(name)).State.Pid}/root`;
}

const pieces = 5000;

function deceive(root: string): void {
  const at = (...names: readonly string[]): string => join(root, "h", ...names);
  const file = (name: string, content = "x"): string => {
    writeFileSync(at(name), content);
    return at(name);
  };
  const attribute = (path: string, name: string, value: string): void => {
    execFileSync("setfattr", ["-h", "-n", name, "-v", value, path]);
  };
  mkdirSync(at());
  for (const name of ["line\nbreak", "tab\tand \u001b[31m", "n".repeat(255), " = % \\", "-rf"]) file(name);
  execFileSync("sh", ["-c", 'cd "$1" && printf x > "$(printf "\\377\\376")"', "sh", at()]);
  attribute(file("long-value"), "user.long", "v".repeat(3000));
  for (let number = 0; number < 20; number += 1) attribute(file("many-names"), `user.${"n".repeat(20)}-${number}`, "");
  for (const name of ["trusted.overlay.opaque", "trusted.overlay.redirect", "trusted.overlay.metacopy", "user.overlay.opaque"]) {
    mkdirSync(at(name));
    file(`${name}/inside`);
    attribute(at(name), name, "y");
    attribute(file(`file-${name}`), name, "y");
  }
  // In the image's own directory, too: an opaque one would hide what the image has there.
  attribute(join(root, "bin"), "trusted.overlay.opaque", "y");
  attribute(file("capable"), "security.capability", "0x0100000200200000000000000000000000000000");
  for (const [name, id] of [
    ["largest", 4_294_967_294],
    ["octal", 2_097_152],
  ] as const)
    chownSync(file(name), id, id);
  for (const [name, time] of [
    ["before", -1000.5],
    ["later", 8_000_000_000],
  ] as const)
    utimesSync(file(name), time, time);
  chmodSync(file("set-id"), 0o6755);
  execFileSync("mkfifo", ["-m", "0666", at("fifo")]);
  execFileSync("mknod", ["-m", "600", at("disk"), "b", "7", "70000"]);
  symlinkSync("/../../../../etc/shadow", at("up"));
  symlinkSync("t".repeat(4000), at("far"));
  file("one");
  for (let number = 0; number < 2_000; number += 1) linkSync(at("one"), at(`link-${number}`));
  linkSync(join(root, "bin/busybox"), at("busybox"));
  const sparse = openSync(at("sparse"), "w");
  for (let piece = 0; piece < pieces; piece += 1) writeSync(sparse, "q", piece * (32 << 10));
  ftruncateSync(sparse, pieces * (32 << 10));
  closeSync(sparse);
  mkdirSync(at(Array(300).fill("d").join("/")), { recursive: true });
}

/** All that a container sees below /h and /bin, but for the overlay's own attributes. */
function seen(root: string): string {
  const script = [
    'cd "$1"',
    // Sizes of directories are the file system's own matter.
    "find h bin ! -type d -printf '%p|%y|%m|%U:%G|%s|%n|%T@|%l\\n' | LC_ALL=C sort",
    "find h bin -type d -printf '%p|%m|%U:%G|%T@\\n' | LC_ALL=C sort",
    "getfattr -Rhd -e hex -m - h bin | grep -v -e 'overlay\\.' -e '^# file: bin$' -e '^$'",
    "sha256sum h/sparse bin/busybox",
  ].join("; ");
  return execFileSync("sh", ["-c", script, "sh", root], { encoding: "latin1", maxBuffer: 1 << 28 });
}

const withTools = reason ?? needsTools("setfattr", "getfattr");

test.skipIf(withTools, "an image of a container has what the container saw, and no more: here, and in dockerd", async (t) => {
  const own = await world(t);
  await own.ok(["run", "-d", "--net", "none", "--name", "box", "bb", "sleep", "1000"]);
  deceive(await rootOf(own, "box"));
  await own.ok(["commit", "box", "made"]);
  await own.ok(["run", "-d", "--net", "none", "--name", "copy", "made", "sleep", "1000"]);
  const [before, after] = [seen(await rootOf(own, "box")), seen(await rootOf(own, "copy"))];
  const known = new Set(after.split("\n"));
  const lost = before.split("\n").filter((line) => !known.has(line));
  assert.equal(lost, []);
  assert.is(after.length, before.length);
  const used = Number(await own.ok(["image", "inspect", "-f", "{{.Size}}", "made"]));
  assert.ok(used < 100 << 20, `a sparse file became ${used} bytes`);
  if (needsDockerd() !== null) return;
  const directory = temporaryDirectory(t, "/var/tmp");
  await own.ok(["save", "-o", join(directory, "made.tar"), "made"]);
  const theirs = await dockerFront(t);
  theirs.ok(["load", "-i", join(directory, "made.tar")]);
  theirs.ok(["create", "--name", "copy", "made", "true"]);
  theirs.ok(["export", "-o", join(directory, "theirs.tar"), "copy"]);
  await own.ok(["export", "-o", join(directory, "ours.tar"), "copy"]);
  const listed = (name: string): readonly string[] =>
    execFileSync("tar", ["-tvf", join(directory, name), "--numeric-owner", "--quoting-style=escape", "h", "bin"], {
      encoding: "utf8",
      maxBuffer: 1 << 28,
    })
      .split("\n")
      // Its export has whole seconds only.
      .map((line) =>
        line
          .replace(/ link to .*/, "")
          .replace(/\s+/g, " ")
          .replace(/ \d+-\d+-\d+ \d+:\d+ /, " "),
      )
      .sort();
  const expected = new Set(listed("theirs.tar"));
  assert.equal(
    listed("ours.tar").filter((line) => !expected.has(line)),
    [],
  );
});

/**
 * Makes, exchanges, and removes entries of every kind under the same few names, until it is killed. It is a process of the host with the
 * rights of root, so it must never follow the links that it makes: they lead to the host's files, not to the container's.
 */
const churn = `
const fs = require("node:fs");
const { O_WRONLY, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
const any = () => "n" + Math.floor(Math.random() * 60);
const open = (then) => {
  const file = fs.openSync(any(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o644);
  try { then(file); } finally { fs.closeSync(file); }
};
const things = [
  () => open((file) => fs.writeSync(file, "x".repeat(Math.random() * 100000))),
  () => open((file) => fs.ftruncateSync(file, Math.floor(Math.random() * 100000))),
  () => fs.unlinkSync(any()),
  () => fs.symlinkSync(process.argv[2], any()),
  () => fs.linkSync(any(), any()),
  () => fs.mkdirSync(any() + "/sub/deeper", { recursive: true }),
  () => fs.mkdirSync(any() + "/inside"),
  () => fs.rmSync(any(), { recursive: true }),
  () => fs.renameSync(any(), any()),
  () => fs.renameSync(any(), any() + "/moved"),
];
process.chdir(process.argv[1]);
for (;;) try { things[Math.floor(Math.random() * things.length)](); } catch {}
`;

test.skipIf(reason, "a container that changes its files all the time can be compared, committed, copied and exported", async (t) => {
  const own = await world(t);
  await own.ok(["run", "-d", "--net", "none", "--name", "box", "bb", "sleep", "1000"]);
  const busy = join(await rootOf(own, "box"), "srv");
  // Its links lead to a file of the test's own, which nobody may write to.
  const outside = join(temporaryDirectory(t), "outside");
  writeFileSync(outside, "untouched");
  const changing = spawn(process.execPath, ["-e", churn, busy, outside], { stdio: "ignore" });
  const ended = new Promise((resolve) => changing.once("exit", resolve));
  t.cleanup(async () => {
    changing.kill("SIGKILL");
    await ended;
  });
  const directory = temporaryDirectory(t, "/var/tmp");
  for (let round = 0; round < 2; round += 1) {
    await own.ok(["diff", "box"]);
    await own.ok(["export", "-o", join(directory, "all.tar"), "box"]);
    await own.ok(["cp", "box:/srv", join(directory, `copy-${round}`)]);
    await own.ok(["ps", "-s"]);
  }
  for (let round = 0; round < 3; round += 1) {
    const { code, stderr } = await own.run(["commit", "--pause=false", "box", "made"]);
    if (code !== 0) assert.match(stderr, /^tsbox: srv\/\S+: it became shorter while it was read; stop what writes there, and try again\n$/);
  }
  assert.is(changing.exitCode, null);
  assert.ok(readFileSync(outside, "utf8") === "untouched", `${outside} was written to through a link`);
});
