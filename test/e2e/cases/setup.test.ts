/** The messages and actions of scripts/setup when build tools are missing. test/e2e/full/fresh-debian.test.ts runs it for real. */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Case, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { home } from "../src/engine.ts";

const test = suite("scripts/setup");

/** A directory that is the whole search path: basic programs of the host, and `programs` with their text. */
function searchPath(t: Case, programs: Readonly<Record<string, string>>): string {
  const path = temporaryDirectory(t);
  for (const name of ["sh", "dirname", "cut", "sed", "grep", "cat"]) {
    const found = [`/bin/${name}`, `/usr/bin/${name}`].find((file) => existsSync(file));
    symlinkSync(found ?? "", join(path, name));
  }
  for (const [name, text] of Object.entries(programs)) {
    writeFileSync(join(path, name), `#!/bin/sh\n${text}\n`);
    chmodSync(join(path, name), 0o755);
  }
  return path;
}

/** Runs a copy of the scripts alone, so that nothing is built even if nothing is missing. */
function setup(t: Case, path: string): { readonly status: number | null; readonly stderr: string } {
  const scripts = join(temporaryDirectory(t), "scripts");
  mkdirSync(scripts);
  writeFileSync(join(scripts, "setup"), readFileSync(join(home, "scripts/setup")), { mode: 0o755 });
  return spawnSync("/bin/sh", [join(scripts, "setup")], { env: { PATH: path }, encoding: "utf8" });
}

test("all that is missing is named at once, each with its cure", (t) => {
  const { status, stderr } = setup(t, searchPath(t, { id: "echo 1000" }));
  assert.is(status, 1);
  const lines = stderr.trim().split("\n");
  assert.is(lines.length, 3, stderr);
  assert.match(lines[0] ?? "", /^tsbox: npm is not installed: /);
  assert.match(lines[1] ?? "", /^tsbox: no C compiler \(cc\): apt-get install gcc libc6-dev/);
  assert.match(lines[2] ?? "", /^tsbox: Rust is not installed: .*rustup\.rs.*rustc-web cargo-web/);
});

test("Rust that is too old is named with its version", (t) => {
  const old = { npm: "", cc: "", cargo: "", rustc: "echo rustc 1.63.0", id: "echo 1000" };
  assert.match(
    setup(t, searchPath(t, old)).stderr,
    /^tsbox: rustc 1\.63\.0 is too old, 1\.92 or later is needed: .*rustc-web cargo-web\n$/,
  );
  assert.match(setup(t, searchPath(t, { ...old, rustup: "" })).stderr, /is needed: rustup update\n$/);
});

test("a C compiler without a C library is named with what it lacks", (t) => {
  const bare = { npm: "", cc: "exit 1", cargo: "", rustc: "echo rustc 1.96.0", id: "echo 1000" };
  assert.match(
    setup(t, searchPath(t, bare)).stderr,
    /^tsbox: the C compiler \(cc\) makes no program, .*: apt-get install libc6-dev, [^\n]*\n$/,
  );
});

const debian = existsSync("/etc/os-release") && /^ID=debian$/m.test(readFileSync("/etc/os-release", "utf8"));
test.skipIf(debian ? null : "this is no Debian", "as root on Debian they are installed from Debian; what fails is said", (t) => {
  const log = join(temporaryDirectory(t), "log");
  const path = searchPath(t, { id: "echo 0", cc: "", "apt-get": `echo "$*" >>'${log}'; case $1 in install) exit 100 ;; esac` });
  const { status, stderr } = setup(t, path);
  assert.is(status, 1);
  assert.is(readFileSync(log, "utf8"), "update -qq\ninstall -y -qq --no-install-recommends npm rustc-web cargo-web\n");
  assert.match(stderr, /^tsbox: installing from Debian what the build needs: npm rustc-web cargo-web\n/);
  assert.match(
    stderr,
    /tsbox: apt-get could not install them; see above\ntsbox: npm is not installed: [^\n]*\ntsbox: Rust is not installed: [^\n]*\n$/,
  );
});
