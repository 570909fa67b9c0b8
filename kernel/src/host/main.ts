/**
 * The daemon's entry point: starts the host with the engine's list, and stops it on SIGTERM. The launcher starts the daemon, and reads
 * `daemon.fatal` in the state directory if the start fails.
 */
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Logger } from "../contract/call.ts";
import { asError, fail } from "../errors/index.ts";
import { emptyConfig, readConfig } from "./config.ts";
import type { Host } from "./host.ts";
import { makeRootPrivate } from "./private.ts";
import { startHost } from "./start.ts";

/** Milliseconds that all plugins together have to close. */
const endTimeout = 30_000;
const levels = ["debug", "info", "warn", "error"] as const;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { root: { type: "string" }, state: { type: "string" }, host: { type: "string" }, config: { type: "string" } },
  });
  const { root, state, config: file } = values;
  if (root === undefined || state === undefined) throw fail("InvalidArgument", "the daemon is started by `tsbox daemon`");
  try {
    const config = file === undefined ? emptyConfig : await readConfig(file);
    const host = await startHost({
      engineList: engineList(),
      config,
      rootDirectory: root,
      stateDirectory: state,
      engineId: engineId(root),
      log: logger(config.logLevel),
    });
    running = host;
    endOn(host);
  } catch (error) {
    writeFileSync(join(state, "daemon.fatal"), `${asError(error).message}\n`, { mode: 0o600 });
    throw error;
  }
}

/** The path of the engine's list in TSBOX_HOME, the installation's own directory. */
function engineList(): string {
  const home = process.env.TSBOX_HOME ?? dirname(dirname(dirname(import.meta.dirname)));
  return join(home, "engine.json");
}

/**
 * The engine's id. It is made at the first start and never changed: it is in the name of everything that this engine creates in the host's
 * kernel.
 */
function engineId(root: string): string {
  const path = join(root, "engine-id");
  const isOurs = existsSync(path);
  makeRootPrivate(root, isOurs);
  if (!isOurs) {
    // The rename makes the file appear as a whole, even if this start is killed.
    writeFileSync(`${path}.new`, `${randomBytes(4).toString("hex")}\n`);
    renameSync(`${path}.new`, path);
  }
  const id = readFileSync(path, "utf8").trim();
  if (/^[0-9a-f]{8}$/.test(id)) return id;
  throw fail(
    "DataLoss",
    `${path} is damaged: it holds ${JSON.stringify(id)}, not eight hex digits; put back what it held, or sweep by hand and remove it`,
  );
}

function logger(least: (typeof levels)[number]): Logger {
  const write = (level: (typeof levels)[number]) => {
    if (levels.indexOf(level) < levels.indexOf(least)) return () => {};
    return (text: string, fields?: Readonly<Record<string, unknown>>) => {
      const rest = fields === undefined ? "" : ` ${JSON.stringify(fields)}`;
      process.stderr.write(`${new Date().toISOString()} ${level} ${text}${rest}\n`);
    };
  };
  return { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
}

function endOn(host: Host): void {
  let ending = false;
  const end = (): void => {
    if (ending) return;
    ending = true;
    // Whatever is still running is on disk by now, or was not acknowledged to its caller.
    setTimeout(() => {
      process.stderr.write(`tsbox: the engine did not end within ${endTimeout / 1000} s: it is killed\n`);
      process.kill(process.pid, "SIGKILL");
    }, endTimeout).unref();
    host
      .stop()
      .then(() => process.exit(0))
      .catch((error: unknown) => {
        process.stderr.write(`tsbox: the engine did not end cleanly: ${asError(error).message}\n`);
        process.exit(1);
      });
  };
  // For measurements: after a garbage collection, the remaining memory is what the engine needs.
  process.on("SIGUSR2", () => {
    setFlagsFromString("--expose-gc");
    runInNewContext("gc")();
  });
  process.on("SIGTERM", end);
  process.on("SIGINT", end);
}

// The reader of the log may have exited; the daemon continues without it.
process.stderr.on("error", () => {});
let running: Host | null = null;
// An unhandled rejection is a bug in the code that made the promise, but it must not end the commands of all users.
process.on("unhandledRejection", (thrown: unknown) => {
  const error = asError(thrown);
  const whose = running?.pluginOf(error) ?? "the engine";
  process.stderr.write(`${new Date().toISOString()} error ${whose} left a rejection unhandled: ${error.stack ?? error.message}\n`);
});

main().catch((error: unknown) => {
  process.stderr.write(`tsbox: ${asError(error).message}\n`);
  process.exit(1);
});
