/**
 * Compares a container of tsbox with one of Debian's dockerd, from the same image, as seen from inside: capabilities, every line of
 * /proc/self/status, mounts, devices, limits, environment, and the result of each system call. docs/compatibility.md must explain each
 * difference, and each explanation there must match a difference.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Case, needsRoot, suite, temporaryDirectory } from "@tsbox/harness";
import * as assert from "uvu/assert";
import { dockerd, needsDockerd } from "../src/dockerd.ts";
import { binary, engine, home } from "../src/engine.ts";

const test = suite("compatibility with Docker", { timeout: 240_000 });
const reason = needsRoot() ?? (existsSync(binary) ? null : "the native binary is not built: scripts/setup") ?? needsDockerd();

/** `section key` → value. */
type Seen = ReadonlyMap<string, string>;

interface Row {
  /** `section key`. In this and in the values `*` stands for any text. */
  readonly what: string;
  readonly docker: string;
  readonly tsbox: string;
}

const none = "(none)";

/** A root file system that contains only the probe, as a tar. */
function image(t: Case): Buffer {
  const directory = temporaryDirectory(t, "/var/tmp");
  const root = join(directory, "root");
  mkdirSync(join(root, "etc"), { recursive: true });
  writeFileSync(join(root, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
  const source = join(home, "test/e2e/probe/probe.rs");
  execFileSync(
    "rustc",
    ["--edition", "2024", "-O", "-C", "target-feature=+crt-static", "-C", "strip=symbols", "-o", join(root, "probe"), source],
    { stdio: "pipe" },
  );
  return execFileSync("tar", ["-C", root, "-c", "."], { maxBuffer: 1 << 28 });
}

function parse(output: string): Seen {
  const seen = new Map<string, string>();
  for (const line of output.split("\n")) {
    const [, key, value] = /^(\S+ \S+) = (.*)$/.exec(line) ?? [];
    if (key !== undefined) seen.set(named(key), value ?? "");
  }
  return seen;
}

/** Names a system call by this machine's own table. */
function named(key: string): string {
  const number = /^syscalls (\d+)$/.exec(key)?.[1];
  return number === undefined ? key : `syscalls ${syscallNames().get(Number(number)) ?? number}`;
}

let names: ReadonlyMap<number, string> | undefined;
function syscallNames(): ReadonlyMap<number, string> {
  const header = ["/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm-generic/unistd.h"].find(existsSync);
  const text = header === undefined ? "" : readFileSync(header, "utf8");
  names ??= new Map([...text.matchAll(/^#define __NR_(\w+)\s+(\d+)/gm)].map(([, name = "", number]) => [Number(number), name]));
  return names;
}

function documented(): readonly Row[] {
  const text = readFileSync(join(home, "docs/compatibility.md"), "utf8");
  return [...text.matchAll(/^\| `([^`]+)` \| ([^|]*) \| ([^|]*) \| [^|]+ \|$/gm)].map(([, what = "", docker = "", tsbox = ""]) => ({
    what,
    docker: docker.trim().replaceAll("`", ""),
    tsbox: tsbox.trim().replaceAll("`", ""),
  }));
}

/** A pattern of docs/compatibility.md: `*` stands for any text. */
const matches = (pattern: string, text: string): boolean =>
  new RegExp(
    `^${pattern
      .split("*")
      .map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"))
      .join(".*")}$`,
  ).test(text);

test.skipIf(reason, "what a container sees and may do is what Docker's does, or the difference is explained", async (t) => {
  const tar = image(t);
  const docker = await dockerd(t);
  docker(["import", "--change", 'CMD ["/probe"]', "-", "probe:1"], tar);
  const archive = join(temporaryDirectory(t, "/var/tmp"), "probe.tar");
  writeFileSync(archive, docker(["save", "probe:1"]));
  const theirs = parse(docker(["run", "--rm", "probe:1"]).toString());
  const own = await engine(t);
  await own.ok(["load", "-i", archive]);
  const ours = parse(await own.ok(["run", "--rm", "probe:1"]));
  assert.ok(theirs.size > 500 && ours.size > 500, `${theirs.size} and ${ours.size} lines`);

  const rows = documented();
  const used = new Set<Row>();
  const unexplained: string[] = [];
  for (const key of new Set([...theirs.keys(), ...ours.keys()])) {
    const [a, b] = [theirs.get(key) ?? none, ours.get(key) ?? none];
    if (a === b) continue;
    const row = rows.find((one) => matches(one.what, key) && matches(one.docker, a) && matches(one.tsbox, b));
    if (row) used.add(row);
    else unexplained.push(`| \`${key}\` | ${a} | ${b} |`);
  }
  const stale = rows.filter((row) => !used.has(row)).map((row) => row.what);
  assert.equal(unexplained, [], `not explained in docs/compatibility.md:\n${unexplained.join("\n")}`);
  assert.equal(stale, [], "explained in docs/compatibility.md, and not so");
});
