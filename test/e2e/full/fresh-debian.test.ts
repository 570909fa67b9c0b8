/**
 * A Debian 12 by debootstrap with a copy of the sources and nothing else. The README's first command installs, builds, starts an engine and
 * runs a container; its second command finds all that it needs. Takes a quarter of an hour on two idle cores.
 */
import { execFileSync, spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { needsRoot, suite } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { home } from "../src/engine.ts";
import { needsTools } from "../src/images.ts";

const test = suite("a fresh Debian", { timeout: 3_600_000 });
const reason =
  needsRoot() ?? needsTools("debootstrap", "git", "unshare") ?? (existsSync(join(home, ".git")) ? null : "this is no checkout");

const authorities = "/etc/ssl/certs/ca-certificates.crt";

/** Runs in new mount and pid namespaces with the tree as root, so that no process outlives the script. */
const enter = `
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /sys/fs/cgroup sys/fs/cgroup
mount -t tmpfs tmpfs run
mount --rbind /dev dev
pivot_root . mnt
umount -l /mnt
export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
[ ! -e /host-ca.crt ] || export NODE_EXTRA_CA_CERTS=/host-ca.crt npm_config_cafile=/host-ca.crt CARGO_HTTP_CAINFO=/host-ca.crt SSL_CERT_FILE=/host-ca.crt
cd /src
./tsbox run --rm host:/ echo hello
exec >&2
./tsbox daemon stop
# What "npm test" does there: Debian's packages for the tests, Debian's rustfmt, and a file of tests against a real engine.
scripts/packages
cargo fmt --all --check
npx --no-install tsc -b
exec node_modules/node-linux-*/bin/node --conditions=tsbox-source --disable-warning=ExperimentalWarning test/e2e/cases/run.test.ts
`;

test.skipIf(reason, "the README's commands work with git and nothing else", async (t) => {
  const tree = mkdtempSync("/var/tmp/tsbox-fresh-debian-");
  t.cleanup(() => rmSync(tree, { recursive: true, force: true }));
  try {
    execFileSync("debootstrap", ["--variant=minbase", "bookworm", tree], { stdio: "ignore" });
  } catch {
    t.skip("Debian's packages can't be had here");
  }
  // The package sources and certificate authorities of this machine (ca-certificates, which npm installs, makes its own list).
  if (existsSync(authorities)) copyFileSync(authorities, join(tree, "host-ca.crt"));
  for (const file of ["/etc/resolv.conf", "/etc/hosts", "/etc/npmrc", "/etc/apt/sources.list.d/debian.sources"])
    if (existsSync(file)) {
      mkdirSync(dirname(join(tree, file)), { recursive: true });
      copyFileSync(file, join(tree, file));
    }
  if (existsSync("/etc/apt/sources.list.d/debian.sources")) rmSync(join(tree, "etc/apt/sources.list"), { force: true });
  else
    writeFileSync(
      join(tree, "etc/apt/sources.list"),
      "deb http://deb.debian.org/debian bookworm main\ndeb http://deb.debian.org/debian-security bookworm-security main\n",
    );
  mkdirSync(join(tree, "src"));
  const files = execFileSync("git", ["-C", home, "ls-files", "-z"], { maxBuffer: 1 << 26 });
  const packed = execFileSync("tar", ["-C", home, "--null", "-T", "-", "-c"], { input: files, maxBuffer: 1 << 30 });
  execFileSync("tar", ["-C", join(tree, "src"), "-x"], { input: packed });

  const child = spawn("unshare", ["-m", "-p", "-f", "--kill-child", "--propagation", "private", "sh", "-ec", enter, "enter", tree], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  t.cleanup(() => child.kill("SIGKILL"));
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const code = await new Promise((resolve) => child.once("close", resolve));
  assert.is(code, 0, stderr.slice(-3_000));
  assert.is(stdout, "hello\n");
  assert.match(stderr, /^tsbox: installing from Debian what the build needs: npm gcc libc6-dev rustc-web cargo-web$/m);
  assert.match(stderr, /^tsbox: installing Debian packages for the tests: .*rustfmt-web$/m);
  assert.match(stderr, /^\d+ passed, 0 failed, \d+ skipped$/m);
});
