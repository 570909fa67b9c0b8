/**
 * `npm test`: lint, types, Rust, then every test file, each in its own process; ends with the sum: `N passed, N failed, N skipped`.
 * `--full` adds the long forms. A stage that can't be counted (lint, types) is one case.
 */
import { spawn } from "node:child_process";
import { globSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const full = process.argv.includes("--full");
const total = { passed: 0, failed: 0, skipped: 0 };

interface Ran {
  readonly code: number;
  readonly output: string;
}

/** Every test file is a process that loads the same sources, so V8's compiled code of them is cached. */
const environment = { ...process.env, NODE_COMPILE_CACHE: join(root, ".cache", "node"), ...(full ? { TSBOX_FULL: "1" } : {}) };

function run(command: string, args: readonly string[], show: boolean): Promise<Ran> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, env: environment, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text;
        if (show) process.stdout.write(text);
      });
    child.on("error", (error) => resolve({ code: 127, output: error.message }));
    child.on("close", (code) => resolve({ code: code ?? 1, output }));
  });
}

/** A stage that passes or fails as a whole. */
async function whole(name: string, command: string, args: readonly string[]): Promise<void> {
  const began = performance.now();
  const { code, output } = await run(command, args, false);
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  if (code === 0) total.passed += 1;
  else {
    total.failed += 1;
    process.stdout.write(output);
  }
  process.stdout.write(`${code === 0 ? "ok" : "FAILED"} ${name} (${seconds} s)\n`);
}

/** cargo's own counts: one line per test binary. */
async function rust(): Promise<void> {
  const began = performance.now();
  const { code, output } = await run(
    "cargo",
    [
      "test",
      "--workspace",
      "--exclude",
      "tsbox-node",
      "--features",
      "tsbox-core/layer",
      "--quiet",
      "--locked",
      "--",
      "--test-threads=2",
      "--show-output",
    ],
    false,
  );
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  for (const [, ok, bad, ignored] of output.matchAll(/(\d+) passed; (\d+) failed; (\d+) ignored/g)) {
    passed += Number(ok);
    failed += Number(bad);
    skipped += Number(ignored);
  }
  // A test of cargo's harness can't be skipped while it runs: it prints a line and returns.
  const unable = [...output.matchAll(/^skipped: needs root$/gm)].length;
  passed -= unable;
  skipped += unable;
  // Tests that fork run without cargo's harness and print the same counts as ours.
  for (const [, ok, bad, ignored] of output.matchAll(/^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/gm)) {
    passed += Number(ok);
    failed += Number(bad);
    skipped += Number(ignored ?? 0);
  }
  if (code !== 0 && failed === 0) failed = 1;
  if (failed > 0) process.stdout.write(output);
  total.passed += passed;
  total.failed += failed;
  total.skipped += skipped;
  process.stdout.write(
    `${failed === 0 ? "ok" : "FAILED"} cargo test: ${passed} passed (${((performance.now() - began) / 1000).toFixed(1)} s)\n`,
  );
}

/**
 * Runs files with the counting runner, `jobs` at a time. `longest`: names of files that start first, so that none of them runs alone at the
 * end.
 */
async function files(
  patterns: readonly string[],
  jobs: number,
  { longest = [], flags = [] }: { readonly longest?: readonly string[]; readonly flags?: readonly string[] } = {},
): Promise<void> {
  const isLong = (path: string): boolean => longest.some((name) => path.endsWith(`/${name}.test.ts`));
  const found = globSync(patterns as string[], { cwd: root, exclude: (path) => path.includes("node_modules") })
    .sort()
    .sort((a, b) => Number(isLong(b)) - Number(isLong(a)));
  if (found.length === 0) return;
  const { code, output } = await run(
    process.execPath,
    [
      "--conditions=tsbox-source",
      "--disable-warning=ExperimentalWarning",
      "test/harness/src/run.ts",
      "--jobs",
      String(jobs),
      "--timeout",
      full ? "7200" : "900",
      ...flags,
      ...found,
    ],
    true,
  );
  const counts = [...output.matchAll(/^(\d+) passed, (\d+) failed, (\d+) skipped$/gm)].at(-1);
  total.passed += Number(counts?.[1] ?? 0);
  total.failed += counts ? Number(counts[2]) : 1;
  total.skipped += Number(counts?.[3] ?? 0);
  if (code !== 0 && counts?.[2] === "0") total.failed += 1;
}

await whole("lint and format", "npx", ["--no-install", "biome", "ci", "--diagnostic-level=error", "."]);
await whole("types", "npx", ["--no-install", "tsc", "-b"]);
if ((await run("cargo", ["fmt", "--version"], false)).code === 0) await whole("rustfmt", "cargo", ["fmt", "--all", "--check"]);
else {
  total.skipped += 1;
  process.stdout.write(
    "skipped rustfmt: it is not installed (rustup component add rustfmt, or on Debian 12: apt-get install rustfmt-web)\n",
  );
}
await rust();
if (full) {
  if ((await run("cargo", ["clippy", "--version"], false)).code === 0)
    await whole("clippy", "cargo", ["clippy", "--workspace", "--all-targets", "--quiet", "--locked", "--", "-D", "warnings"]);
  else {
    total.skipped += 1;
    process.stdout.write("skipped clippy: it is not installed (rustup component add clippy)\n");
  }
  await whole("fuzzing", "scripts/fuzz", []);
}
await files(["kernel/test/*.test.ts", "test/harness/test/*.test.ts", "conformance/test/*.test.ts", "plugins/*/test/*.test.ts"], 2);
await files(["drivers/*/test/*.test.ts"], 1);
// Each case has its own engine, and checks for objects with that engine's markers. More files than cores, since all of them sometimes wait
// for timeouts and retries.
const ownNetwork = process.getuid?.() === 0 ? ["--own-network"] : [];
const longest = ["guest-uml", "silent", "cp", "images", "image-files", "beside-docker", "faults", "life", "crash", "network", "restart"];
await files(["test/e2e/cases/*.test.ts"], 3, { longest, flags: ownNetwork });
if (full) await files(["test/e2e/full/*.test.ts"], 1);
process.stdout.write(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
