/**
 * The host toolkit for suites and drivers' own tests, without an engine. The plugin that provides it is loaded by name, as from an engine's
 * list.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { type Command, type CommandResult, fail, type HostToolkit, isTsboxError, type LauncherService, type Plugin } from "@tsbox/kernel";
import { openService } from "./plugin-subject.ts";

export type Toolkit = { readonly host: HostToolkit; close(): Promise<void> } | { readonly skip: string };

export async function openToolkit(packageName = "@tsbox/host-linux"): Promise<Toolkit> {
  if (process.geteuid?.() !== 0) return { skip: "needs root" };
  const directory = mkdtempSync(join(tmpdir(), "tsbox-toolkit-"));
  try {
    const module: { readonly default: Plugin } = await import(packageName);
    const { value, close } = await openService(module.default, "host", { directory, services: { launcher: launcher() } });
    return {
      host: value,
      close: async () => {
        await close();
        rmSync(directory, { recursive: true, force: true });
      },
    };
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    // A missing feature of this host is a reason to skip; any other error is not.
    if (isTsboxError(error) && error.code === "Unsupported") return { skip: error.message };
    throw error;
  }
}

/** A launcher with `run` only: a test may fork, so it runs the toolkit's programs itself. */
function launcher(): LauncherService {
  const run: Pick<LauncherService, "run"> = { run: (call, command) => runCommand(call.signal, command) };
  return new Proxy(run, {
    get: (target, name) => {
      if (name === "run") return target.run;
      if (name === "then") return undefined;
      return () => Promise.reject(fail("Unsupported", `no launcher here: ${String(name)}`));
    },
  }) as LauncherService;
}

async function runCommand(
  signal: AbortSignal,
  { argv: [program = "", ...rest], environment, workingDirectory, stdin }: Command,
): Promise<CommandResult> {
  signal.throwIfAborted();
  // A group of its own, as the launcher's helpers have: its children are killed with it.
  const child = spawn(program, rest, { cwd: workingDirectory, env: environment, stdio: ["pipe", "pipe", "pipe"], detached: true });
  const cancel = (): void => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) process.kill(-child.pid, "SIGKILL");
  };
  signal.addEventListener("abort", cancel, { once: true });
  // A program that does not read its input is no error.
  child.stdin.on("error", () => undefined).end(stdin ?? "");
  const collect = async (stream: Readable): Promise<Uint8Array> => {
    const chunks: Uint8Array[] = await stream.toArray();
    return Buffer.concat(chunks);
  };
  const ended = new Promise<number>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve(code ?? 255));
  });
  try {
    const [stdout, stderr, exitCode] = await Promise.all([collect(child.stdout), collect(child.stderr), ended]);
    signal.throwIfAborted();
    return { exitCode, stdout, stderr };
  } finally {
    signal.removeEventListener("abort", cancel);
  }
}
