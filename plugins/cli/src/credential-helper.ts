/**
 * Credential helpers (github.com/docker/docker-credential-helpers): a program `docker-credential-NAME` of the user, which reads a
 * registry's name and prints a user name and a secret.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import type { Strings } from "@tsbox/kernel";

/** Milliseconds. The helper may ask the user for a password. */
const helperTimeout = 60_000;
/** Bytes of the helper's answer. */
const largestAnswer = 256 << 10;
/** The output of every helper, with exit code 1, if it has no credentials. */
const notFound = "credentials not found in native keychain";
/** The user name that marks the secret as an identity token. */
const tokenUser = "<token>";

const prefix = "docker-credential-";

/** AuthConfig's fields; empty: the helper has no login at that registry. */
export async function askHelper(name: string, registry: string, environment: Strings, timeout: number = helperTimeout): Promise<Strings> {
  const program = `${prefix}${name}`;
  const { code, output } = await run(program, registry, environment, timeout);
  const text = output.toString();
  if (code !== 0 && text.trim() === notFound) return {};
  const words = text.trim().slice(0, 200);
  if (code !== 0) throw new Error(`the credential helper ${program} failed with exit code ${code}${words === "" ? "" : `: ${words}`}`);
  const { Username, Secret } = parse(text);
  if (typeof Username !== "string" || typeof Secret !== "string")
    throw new Error(`what the credential helper ${program} prints is no login: ask \`echo ${registry} | ${program} get\``);
  return Username === tokenUser ? { identitytoken: Secret } : { username: Username, password: Secret };
}

/** The helper that docker uses without configuration; empty: it is not installed. */
export function defaultHelper(environment: Strings): string {
  const name = isInstalled("pass", environment) ? "pass" : "secretservice";
  return isInstalled(`${prefix}${name}`, environment) ? name : "";
}

function isInstalled(program: string, environment: Strings): boolean {
  return (environment.PATH ?? "").split(":").some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return directory !== "";
    } catch {
      return false;
    }
  });
}

interface Ended {
  readonly code: number;
  readonly output: Buffer;
}

function run(program: string, input: string, environment: Strings, timeout: number): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, ["get"], { env: environment, stdio: ["pipe", "pipe", "inherit"] });
    const parts: Buffer[] = [];
    let length = 0;
    const settle = (act: () => void): void => {
      clearTimeout(timer);
      process.off("SIGTERM", leave);
      act();
    };
    const giveUp = (why: string): void => {
      end(child);
      settle(() => reject(new Error(`the credential helper ${program} ${why}`)));
    };
    // The process that waits for this one is gone, and the helper must not outlive it.
    const leave = (): void => {
      end(child);
      process.exit(143);
    };
    const timer = setTimeout(() => giveUp(`did not answer within ${timeout / 1000} s`), timeout);
    process.once("SIGTERM", leave);
    child.stdout.on("data", (part: Buffer) => {
      parts.push(part);
      length += part.length;
      if (length > largestAnswer) giveUp(`printed more than ${largestAnswer} bytes`);
    });
    child.on("error", (error: NodeJS.ErrnoException) =>
      giveUp(error.code === "ENOENT" ? "is not installed" : `can't be started (${error.code ?? error.message})`),
    );
    child.on("close", (code) => settle(() => resolve({ code: code ?? 1, output: Buffer.concat(parts) })));
    // The helper may have ended without reading its input.
    child.stdin.on("error", () => {});
    child.stdin.end(`${input}\n`);
  });
}

/** Kills the helper and closes its pipes: a process that the helper started may keep its output open. */
function end(child: ChildProcess): void {
  child.kill("SIGKILL");
  child.stdin?.destroy();
  child.stdout?.destroy();
}

function parse(text: string): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === "object" && parsed !== null ? (parsed as Readonly<Record<string, unknown>>) : {};
  } catch {
    return {};
  }
}
