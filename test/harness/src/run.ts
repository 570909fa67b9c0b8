/**
 * Runs test files, each in its own process: `node run.ts [--jobs N] [--timeout SECONDS] [--own-network] FILE…`. With `--own-network` each
 * file has its own network namespace, so that concurrent engines do not choose the same subnet. Prints a file's output only if it failed,
 * skipped a case or was slow, adds up the counts, and ends with `N passed, N failed, N skipped`. A file that prints no counts is a failure.
 */
import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { changedHostFiles, hostFiles } from "./host-files.ts";

interface Outcome {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const { values, positionals: files } = parseArgs({
  options: {
    jobs: { type: "string", default: String(availableParallelism()) },
    timeout: { type: "string", default: "600" },
    "own-network": { type: "boolean", default: false },
  },
  allowPositionals: true,
});
const jobs = Number(values.jobs);
const limit = Number(values.timeout) * 1000;

if (files.length === 0 || !(jobs >= 1) || !(limit > 0)) {
  process.stderr.write("usage: run.ts [--jobs N] [--timeout SECONDS] [--own-network] FILE…\n0 passed, 1 failed, 0 skipped\n");
  process.exit(1);
}

/** A new network namespace has only a loopback interface that is down. */
const inOwnNetwork = ["unshare", "--net", "--", "sh", "-c", 'ip link set lo up && exec "$0" "$@"'] as const;

const total = { passed: 0, failed: 0, skipped: 0 };
const waiting = [...files];
await Promise.all(
  Array.from({ length: Math.min(jobs, files.length) }, async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const outcome = await runFile(file);
      total.passed += outcome.passed;
      total.failed += outcome.failed;
      total.skipped += outcome.skipped;
    }
  }),
);
process.stdout.write(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exitCode = total.failed > 0 ? 1 : 0;

async function runFile(file: string): Promise<Outcome> {
  const began = performance.now();
  const before = hostFiles();
  const [program = "", ...words] = [
    ...(values["own-network"] ? inOwnNetwork : []),
    ...[process.execPath, "--conditions=tsbox-source", "--disable-warning=ExperimentalWarning", file],
  ];
  const child = spawn(program, words, {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, limit);
  // A grandchild may keep the pipes open, so wait for the end of the file's own process, and for its output until a moment later.
  const ended = await new Promise<string | null>((resolve) => {
    child.on("error", (error) => resolve(error.message));
    child.on("close", () => resolve(verdict(child.exitCode, child.signalCode)));
    child.on("exit", () => setTimeout(() => resolve(verdict(child.exitCode, child.signalCode)), 2_000).unref());
  });
  clearTimeout(timer);
  const counted = counts(output);
  const trouble = late
    ? `took longer than ${limit / 1000} s`
    : counted === null
      ? `printed no counts (${ended ?? "exit 0"})`
      : (changedHostFiles(before) ?? (counted.failed === 0 ? ended : null));
  const outcome = {
    passed: counted?.passed ?? 0,
    failed: (counted?.failed ?? 0) + (trouble === null ? 0 : 1),
    skipped: counted?.skipped ?? 0,
  };
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  const summary = `${outcome.failed === 0 ? "ok" : "FAILED"} ${file} (${outcome.passed} passed, ${outcome.failed} failed, ${outcome.skipped} skipped, ${seconds} s)`;
  const detail = outcome.failed > 0 ? `${output.trimEnd()}\n${trouble === null ? "" : `${trouble}\n`}` : remarks(output);
  process.stdout.write(`${summary}\n${detail}`);
  return outcome;
}

function verdict(code: number | null, signal: string | null): string | null {
  return signal !== null ? `killed by ${signal}` : code === 0 ? null : `exit ${code}`;
}

function counts(output: string): Outcome | null {
  const found = [...output.matchAll(/^(\d+) passed, (\d+) failed, (\d+) skipped$/gm)].at(-1);
  return found === undefined ? null : { passed: Number(found[1]), failed: Number(found[2]), skipped: Number(found[3]) };
}

/** The lines about skipped and slow cases. */
function remarks(output: string): string {
  return output
    .split("\n")
    .filter((line) => /^(skipped|slow): /.test(line))
    .map((line) => `  ${line}\n`)
    .join("");
}
