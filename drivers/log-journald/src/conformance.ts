/** The sink of the log suite: a journald of its own, in a mount namespace with a /run of its own. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import type { LogSink, Received } from "@tsbox/conformance";
import { fail } from "@tsbox/kernel";

const program = "/lib/systemd/systemd-journald";
const timeout = 10_000;

/** Why there is no journald for tests on this host, or null. */
export function noJournald(): string | null {
  if (process.geteuid?.() !== 0) return "needs root";
  return existsSync(program) && existsSync("/usr/bin/journalctl") ? null : "needs journald (Debian: systemd)";
}

export interface JournalSink extends LogSink {
  readonly config: { readonly socket: string };
  /** A socket of datagrams in syslog's format, as /dev/log is. */
  readonly devLog: string;
  entries(): Promise<readonly Readonly<Record<string, unknown>>[]>;
}

const configuration =
  "[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\nReadKMsg=no\nAudit=no\nForwardToSyslog=no\nMaxLevelStore=debug\nLineMax=64K\n";
const prepare = [
  "mount --make-rprivate /",
  "mount -t tmpfs tmpfs /run",
  "mkdir -p /run/systemd/journal /run/systemd/journald.conf.d /run/log/journal",
  `printf '%s' "$0" >/run/systemd/journald.conf.d/test.conf`,
  "[ -s /etc/machine-id ] || { echo 0123456789abcdef0123456789abcdef >/run/machine-id; mount --bind /run/machine-id /etc/machine-id; }",
  "echo ready",
  "exec sleep infinity",
].join(" && ");

/** `Unsupported`: this host has no journald. */
export async function sink(): Promise<JournalSink> {
  const missing = noJournald();
  if (missing !== null) throw fail("Unsupported", missing);
  const holder = spawn("unshare", ["-m", "sh", "-c", prepare, configuration], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise<void>((resolve, reject) => {
    holder.stdout.once("data", () => resolve());
    holder.once("close", () => reject(new Error("journald's mount namespace can't be made")));
  });
  const run = `/proc/${holder.pid}/root/run`;
  const socket = `${run}/systemd/journal/socket`;
  let daemon: ChildProcess | null = null;
  const start = async (): Promise<void> => {
    if (daemon !== null) return void daemon.kill("SIGCONT");
    daemon = spawn("nsenter", ["-m", "-t", String(holder.pid), program], { stdio: "ignore" });
    const until = Date.now() + timeout;
    while (!existsSync(`${run}/log/journal`) || readdirSync(`${run}/log/journal`).length === 0 || !existsSync(socket)) {
      if (Date.now() > until) throw new Error("journald did not start");
      await pause(20);
    }
  };
  const stop = async (): Promise<void> => {
    const own = daemon;
    daemon = null;
    if (own === null || own.exitCode !== null) return;
    const ended = new Promise((resolve) => own.once("close", resolve));
    own.kill("SIGKILL");
    await ended;
    // The next start waits until there is one again.
    rmSync(socket, { force: true });
  };
  const entries = async (): Promise<readonly Readonly<Record<string, unknown>>[]> =>
    execFileSync("journalctl", ["-D", `${run}/log/journal`, "-o", "json", "--all", "--no-pager", "-q"], { maxBuffer: 1 << 30 })
      .toString()
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  await start();
  return {
    options: {},
    config: { socket },
    precision: 1,
    isSure: true,
    devLog: `${run}/systemd/journal/dev-log`,
    entries,
    received: async () => (await entries()).filter(({ CONTAINER_TAG }) => CONTAINER_TAG !== undefined).map(receivedOf),
    stop,
    silence: async () => void daemon?.kill("SIGSTOP"),
    start,
    close: async () => {
      await stop();
      const ended = new Promise((resolve) => holder.once("close", resolve));
      holder.kill("SIGKILL");
      await ended;
    },
  };
}

/** journalctl shows text that is not printable as a list of bytes, and nothing as null. */
const textOf = (value: unknown): string => (Array.isArray(value) ? Buffer.from(value as number[]).toString() : String(value ?? ""));

function receivedOf(entry: Readonly<Record<string, unknown>>): Received {
  return {
    tag: textOf(entry.CONTAINER_TAG),
    line: textOf(entry.MESSAGE),
    stream: entry.PRIORITY === "3" ? "stderr" : "stdout",
    at: new Date(textOf(entry.SYSLOG_TIMESTAMP)).getTime(),
  };
}
