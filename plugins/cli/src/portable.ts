/**
 * The command line as a separate program in the user's process: for remote engines, and for commands that read or write the user's own
 * files. It runs the same commands as local.ts in the daemon, but over HTTP, and loads no native code.
 */
import { once } from "node:events";
import { createCall, isTsboxError, type Logger, plain, type Strings, silentLog } from "@tsbox/kernel";
import { configurationDirectory, configuredKeys } from "./configuration.ts";
import { dispatch } from "./dispatch.ts";
import type { Io } from "./io.ts";
import { findLogins } from "./logins.ts";
import { remoteApi } from "./remote/api.ts";
import { findEndpoint } from "./remote/endpoint.ts";
import { Remote } from "./remote/http.ts";
import { remoteSession } from "./remote/session.ts";

async function main(argv: readonly string[]): Promise<number> {
  const environment = process.env as Strings;
  const remote = new Remote(findEndpoint(argv, environment));
  const log: Logger = environment.TSBOX_DEBUG ? { ...silentLog, error: (text) => process.stderr.write(`${text}\n`) } : silentLog;
  const write = async (stream: NodeJS.WriteStream, text: string | Uint8Array): Promise<void> => {
    if (!stream.write(typeof text === "string" ? plain(text) : text)) await once(stream, "drain");
  };
  const warn = (text: string): void => void process.stderr.write(plain(text));
  const { rows, columns } = process.stdout;
  const io: Io = {
    call: createCall(log),
    environment,
    workingDirectory: process.cwd(),
    terminals: [process.stdin.isTTY === true, process.stdout.isTTY === true, process.stderr.isTTY === true],
    size: rows ? { rows, columns } : null,
    detachKeys: () => configuredKeys(argv, environment, warn),
    logins: async (registries) => {
      const directory = configurationDirectory(argv, environment);
      return directory === null ? {} : findLogins(directory, registries, environment, warn);
    },
    out: (text) => write(process.stdout, text),
    err: (text) => write(process.stderr, text),
    session: remoteSession(remote),
  };
  return dispatch(io, remoteApi(remote), argv);
}

try {
  process.exit(await main(process.argv.slice(2)));
} catch (error) {
  // The reader of the pipe has closed it: `tsbox ps | head -1`.
  if ((error as NodeJS.ErrnoException).code === "EPIPE") process.exit(0);
  process.stderr.write(`tsbox: ${plain(isTsboxError(error) ? error.message : String(error))}\n`);
  process.exit(1);
}
