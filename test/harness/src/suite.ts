/**
 * uvu with counting. uvu alone can pass although the tests are broken: a hook that throws, an empty suite or a forgotten `run()` exits 0,
 * and a skip loses its name and reason. With this module a file runs by itself once it is loaded, set-up and clean-up belong to the case, a
 * suite without cases fails, skips are printed with their reasons, and the last line is `N passed, N failed, N skipped`.
 */
import "./defer.ts";
import { AssertionError } from "node:assert";
import { realpathSync } from "node:fs";
import { pathToFileURL } from "node:url";
import * as uvu from "uvu";
import { compare } from "uvu/diff";

export interface Case {
  /** Runs a step when the case ends, whatever its result, in reverse order of registration. A throw fails the case. */
  cleanup(step: () => unknown): void;
  /** Ends the case here, because this host lacks a requirement. */
  skip(reason: string): never;
}
export type Body = (test: Case) => unknown;

export interface Suite {
  (name: string, body: Body): void;
  skip(name: string, reason: string, body?: Body): void;
  /** A `reason` of null: the case runs. */
  skipIf(reason: string | null, name: string, body: Body): void;
}
export interface SuiteOptions {
  /** The timeout of one case in milliseconds; 120,000 by default. */
  readonly timeout?: number;
}

class Skipped extends Error {}

const counts = { passed: 0, failed: 0 };
const skips: { readonly name: string; readonly reason: string }[] = [];
/** Cases of at least this many milliseconds are listed at the end, so that a run's output shows where its time went. */
const slowAfter = 5_000;
const slow: { readonly name: string; readonly milliseconds: number }[] = [];
const suites: { readonly name: string; readonly run: () => void; registered: number }[] = [];
let phase: "loading" | "running" | "done" = "loading";

export function suite(name: string, options: SuiteOptions = {}): Suite {
  if (phase !== "loading") throw new Error(`suite "${name}" was made after the file had been loaded: make it at the top level`);
  const limit = options.timeout ?? 120_000;
  const inner = uvu.suite(name);
  const entry = { name, run: (): void => inner.run(), registered: 0 };
  suites.push(entry);
  const add = (title: string, body: Body): void => {
    if (phase !== "loading") throw new Error(`case "${title}" was added after the file had been loaded: it would never run`);
    entry.registered++;
    inner(title, () => runCase(`${name} › ${title}`, body, limit));
  };
  const skip = (title: string, reason: string): void => {
    entry.registered++;
    skips.push({ name: `${name} › ${title}`, reason });
  };
  return Object.assign(add, {
    skip,
    skipIf: (reason: string | null, title: string, body: Body): void => (reason === null ? add(title, body) : skip(title, reason)),
  });
}

async function runCase(name: string, body: Body, limit: number): Promise<void> {
  const steps: (() => unknown)[] = [];
  const test: Case = {
    cleanup: (step) => steps.push(step),
    skip: (reason) => {
      throw new Skipped(reason);
    },
  };
  const thrown: unknown[] = [];
  const began = performance.now();
  try {
    await within(limit, async () => body(test));
  } catch (error) {
    thrown.push(error);
  }
  for (const step of steps.reverse()) {
    try {
      await within(limit, async () => step());
    } catch (error) {
      thrown.push(error);
    }
  }
  const milliseconds = performance.now() - began;
  if (milliseconds >= slowAfter) slow.push({ name, milliseconds });
  const [first, ...later] = thrown;
  if (thrown.length === 1 && first instanceof Skipped) {
    skips.push({ name, reason: first.message });
  } else if (thrown.length > 0) {
    counts.failed++;
    throw plain(first, later);
  } else {
    counts.passed++;
  }
}

function within(limit: number, body: () => Promise<unknown>): Promise<unknown> {
  const { promise, reject } = Promise.withResolvers<never>();
  // Unreferenced: a case that waits for an impossible event ends the process, and the exit handler reports that at once.
  const timer = setTimeout(() => reject(new Error(`took longer than ${limit} ms`)), limit).unref();
  return Promise.race([body(), promise]).finally(() => clearTimeout(timer));
}

/** uvu's printer throws on a value that is no Error, and would lose the failure. So it gets a plain Error with our text. */
function plain(first: unknown, later: readonly unknown[]): Error {
  const error = new Error(describe(first) + later.map((other) => `\n    and while cleaning up: ${describe(other)}`).join(""));
  error.stack = `Error\n${stackOf(first)}`;
  return error;
}

function describe(thrown: unknown): string {
  if (!(thrown instanceof Error)) return `thrown: ${String(thrown)}`;
  const code = "code" in thrown && !(thrown instanceof AssertionError) ? `[${String(thrown.code)}] ` : "";
  const cause = thrown.cause === undefined ? "" : `\n    caused by: ${describe(thrown.cause)}`;
  return `${code}${thrown.message}${difference(thrown)}${cause}`;
}

function difference(thrown: Error): string {
  // uvu's own assertions contain the comparison already.
  if ("details" in thrown && typeof thrown.details === "string") return `\n${thrown.details}`;
  if (!(thrown instanceof AssertionError) || thrown.generatedMessage || String(thrown.operator).includes("not")) return "";
  try {
    return `\n${compare(thrown.actual, thrown.expected)}`;
  } catch {
    return "";
  }
}

function stackOf(thrown: unknown): string {
  const lines = thrown instanceof Error ? (thrown.stack ?? "").split("\n") : [];
  return lines.filter((line) => /^\s+at /.test(line)).join("\n");
}

async function runAll(): Promise<void> {
  phase = "running";
  for (const each of suites) {
    if (each.registered === 0) {
      counts.failed++;
      process.stderr.write(`suite "${each.name}" has no cases\n`);
    }
    each.run();
  }
  if (suites.length === 0) {
    counts.failed++;
    process.stderr.write("no suite in this file\n");
  }
  for (const run of queue()) {
    const [errors] = await run();
    if (typeof errors === "string" && errors.length > 0) process.stdout.write(`\n${errors}\n`);
  }
  phase = "done";
  report();
  // Open objects of a case (a server, a child) would keep the process alive without limit.
  setTimeout(() => {
    process.stderr.write(`still busy after the last case: ${process.getActiveResourcesInfo().join(", ")}\n`);
    process.exit(1);
  }, 3_000).unref();
}

type Runner = () => Promise<readonly [string | true, number, number, number]>;
function queue(): readonly Runner[] {
  const groups: readonly (readonly (Runner | null)[])[] = Reflect.get(globalThis, "UVU_QUEUE");
  return groups.flat().filter((item) => item !== null);
}

function report(): void {
  if (phase === "running") process.stdout.write("\n");
  for (const { name, reason } of skips) process.stdout.write(`skipped: ${name}: ${reason}\n`);
  for (const { name, milliseconds } of slow) process.stdout.write(`slow: ${name}: ${(milliseconds / 1000).toFixed(1)} s\n`);
  process.stdout.write(`${counts.passed} passed, ${counts.failed} failed, ${skips.length} skipped\n`);
  if (counts.failed > 0) process.exitCode = 1;
}

function stray(what: string) {
  return (thrown: unknown): void => {
    counts.failed++;
    process.stderr.write(`${what}: ${thrown instanceof Error ? thrown.stack : String(thrown)}\n`);
    if (phase !== "done") report();
    process.exit(1);
  };
}

process.on("unhandledRejection", stray("unhandled rejection"));
process.on("uncaughtException", stray("uncaught exception"));
process.on("exit", () => {
  if (phase === "done") return;
  if (phase === "running") {
    counts.failed++;
    process.stderr.write("a case never ended: nothing was left to wait for\n");
    report();
  }
  process.exitCode ||= 1;
});

// A second import of the main module resolves when its evaluation, top-level awaits included, has ended. Only then are all cases known.
const main = process.argv[1];
if (main === undefined) throw new Error("@tsbox/harness is for files that node runs by name");
setImmediate(() => {
  import(pathToFileURL(realpathSync(main)).href).then(runAll, () => {
    process.exitCode = 1;
  });
});
