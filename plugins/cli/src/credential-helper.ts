/**
 * Credential helpers (github.com/docker/docker-credential-helpers): a program `docker-credential-NAME` of the user's, which is given a
 * registry's name and prints a user and a secret.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import type { Strings } from "@tsbox/kernel";

/** Milliseconds: it may ask its user for a password. */
const helperTimeout = 60_000;
/** Bytes of its answer. */
const largestAnswer = 256 << 10;
/** What every helper prints, with an exit code of 1, where it has nothing. */
const notFound = "credentials not found in native keychain";
/** The user's name that says that the secret is an identity token. */
const tokenUser = "<token>";

const prefix = "docker-credential-";

/** AuthConfig's fields; empty: it knows no login at that registry. */
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

/** The one that docker asks without being told; empty: it is not installed. */
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
    // Whoever waits for this process has left: the helper must not outlive it.
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
    // It may have ended without reading.
    child.stdin.on("error", () => {});
    child.stdin.end(`${input}\n`);
  });
}

/** A process that the helper has started may hold its output open. */
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
