/** Commands that attach the user's terminal: exec, attach, and the part of `start -a` that they share. */
import { type ApiService, detachKeys, isTsboxError, type Json } from "@tsbox/kernel";
import { CommandError } from "../command-error.ts";
import { environmentFile, environmentOf } from "../environment.ts";
import { type FlagSpecs, type Parsed, parseFlags } from "../flags.ts";
import type { Attached, Command, Io } from "../io.ts";
import { imageOf, pullFlags, withImage } from "./pull.ts";

export const detachFlag = { kind: "text", help: "Override the key sequence for detaching a container" } as const;
export const signalProxyFlag = { kind: "bool", help: "Proxy all received signals to the process (default true)" } as const;

/** The detach keys as text: the flag's, or, where a terminal is attached, those of the user's configuration. Empty: Docker's. */
export const keyWords = (io: Pick<Io, "detachKeys">, parsed: Parsed, lent: boolean): string =>
  parsed.text("detach-keys") || ((lent ? io.detachKeys() : null) ?? "");
export const keysOf = (io: Pick<Io, "detachKeys">, parsed: Parsed, lent: boolean): readonly number[] | null =>
  detachKeys(keyWords(io, parsed, lent));
export const proxies = (parsed: Parsed): boolean => !parsed.given("sig-proxy") || parsed.bool("sig-proxy");

/** Raw keys need an input that is a terminal. */
export function needTerminal(io: Io, stdin: boolean, terminal: boolean): void {
  if (stdin && terminal && !io.terminals[0]) throw new CommandError(1, "the input device is not a TTY: leave out -t, or use a terminal");
}

/** The exit code, or docker's error for a user who has detached. */
export function exitCode(code: number | null): number {
  if (code === null) throw new CommandError(1, "read escape sequence");
  return code;
}

const flags: FlagSpecs = {
  detach: { short: "d", kind: "bool", help: "Detached mode: run command in the background" },
  "detach-keys": detachFlag,
  env: { short: "e", kind: "list", help: "Set environment variables" },
  "env-file": { kind: "list", help: "Read in a file of environment variables" },
  interactive: { short: "i", kind: "bool", help: "Keep STDIN open even if not attached" },
  privileged: { kind: "bool", help: "Give extended privileges to the command" },
  tty: { short: "t", kind: "bool", help: "Allocate a pseudo-TTY" },
  user: { short: "u", kind: "text", help: 'Username or UID (format: "<name|uid>[:<group|gid>]")' },
  workdir: { short: "w", kind: "text", help: "Working directory inside the container" },
};

export const exec: Command = {
  name: "exec",
  usage: "exec [OPTIONS] CONTAINER COMMAND [ARG...]",
  about: "Execute a command in a running container",
  aliases: ["container exec"],
  flags,
  ownWords: true,
  words: [2, Number.POSITIVE_INFINITY],
  local: readsFile,
  async run(io, api, parsed) {
    const [container = "", ...argv] = parsed.words;
    const [detach, terminal] = [parsed.bool("detach"), parsed.bool("tty")];
    const stdin = parsed.bool("interactive") && !detach;
    if (!detach) needTerminal(io, stdin, terminal);
    const words = keyWords(io, parsed, stdin && terminal);
    const keys = detachKeys(words);
    const { Id } = await api.execCreate(io.call, container, {
      Cmd: argv,
      Env: [...parsed.list("env-file").flatMap((path) => environmentFile(io, path)), ...environmentOf(io, parsed.list("env"))],
      User: parsed.text("user") ?? "",
      WorkingDir: parsed.text("workdir") ?? "",
      Tty: terminal,
      Privileged: parsed.bool("privileged"),
      AttachStdin: stdin,
      AttachStdout: !detach,
      AttachStderr: !detach,
      DetachKeys: words,
    });
    try {
      if (detach) {
        await api.execStart(io.call, Id, {});
        return 0;
      }
      const attached = { stdin, stdout: true, stderr: true, terminal, signalProxy: false, removed: false, detachKeys: keys };
      return exitCode(await io.session.runExec(api, Id, attached));
    } catch (error) {
      return commandFailed(io, api, Id, error);
    }
  },
};

const shell = "command -v bash >/dev/null && exec bash; exec sh";

export const debug: Command = {
  name: "debug",
  usage: "debug [OPTIONS] CONTAINER [COMMAND] [ARG...]",
  about: "Run a shell with tools of this host beside a running container, whatever its image has",
  aliases: ["container debug"],
  flags: {
    "detach-keys": detachFlag,
    env: { short: "e", kind: "list", help: "Set environment variables" },
    image: { kind: "text", help: 'Image with the tools (default "host:/", those of this machine)' },
    privileged: { kind: "bool", help: "Give extended privileges to the command" },
    ...pullFlags,
    user: { short: "u", kind: "text", help: "User of the tools' image (default root)" },
    workdir: { short: "w", kind: "text", help: 'Working directory among the tools (default "/")' },
  },
  ownWords: true,
  words: [1, Number.POSITIVE_INFINITY],
  async run(io, api, parsed) {
    const [name = "", ...argv] = parsed.words;
    const terminal = io.terminals[0] && io.terminals[1];
    const words = keyWords(io, parsed, terminal);
    const keys = detachKeys(words);
    const image = parsed.text("image") ?? "host:/";
    const body = {
      Cmd: argv.length > 0 ? argv : ["sh", "-c", shell],
      Env: environmentOf(io, parsed.list("env")),
      User: parsed.text("user") ?? "",
      WorkingDir: parsed.text("workdir") ?? "",
      Tty: terminal,
      Privileged: parsed.bool("privileged"),
      AttachStdin: true,
      AttachStdout: true,
      AttachStderr: true,
      DetachKeys: words,
      TsboxTools: imageOf(io, image),
    };
    const { Id } = await withImage(io, api, image, { parsed, platform: null }, () => api.execCreate(io.call, name, body));
    if (terminal)
      await io.err("The container's processes are those of `ps`, its files are below /proc/1/root (or another of its processes).\n");
    const attached = { stdin: true, stdout: true, stderr: true, terminal, signalProxy: false, removed: false, detachKeys: keys };
    try {
      return exitCode(await io.session.runExec(api, Id, attached));
    } catch (error) {
      return commandFailed(io, api, Id, error);
    }
  },
};

/** Whether `--env-file` is given: the file is the user's. */
function readsFile(words: readonly string[]): boolean {
  try {
    return parseFlags("exec", words, flags, false).given("env-file");
  } catch {
    // The command itself reports the error.
    return false;
  }
}

/**
 * Handles an exec that could not start. The exit codes 126 and 127 are a shell's, and are in the exec's record. Other failures are docker's
 * 1.
 */
async function commandFailed(io: Io, api: ApiService, id: string, error: unknown): Promise<number> {
  if (!isTsboxError(error) || !blamed.includes(error.code)) throw error;
  const { ExitCode } = (await api.execInspect(io.call, id).catch(() => ({ ExitCode: null }))) as { readonly ExitCode: number | null };
  if (ExitCode === null) throw error;
  await io.err(`tsbox: ${error.message}\n`);
  return ExitCode;
}
/** The errors of the command, its user or its directory. */
const blamed: readonly string[] = ["CommandNotFound", "NotExecutable", "InvalidArgument", "NotFound", "PermissionDenied"];

interface Shown {
  readonly Id: string;
  readonly State: { readonly Running: boolean; readonly Paused: boolean; readonly Restarting: boolean };
  readonly Config: { readonly Tty: boolean; readonly OpenStdin: boolean };
  readonly HostConfig: { readonly AutoRemove?: boolean };
}

/** The container's properties that `attach` and `start -a` need before they attach the terminal. */
export async function streamsOf(
  io: Io,
  api: ApiService,
  name: string,
  parsed: Parsed,
  input: boolean,
): Promise<Attached & { readonly container: Shown }> {
  const container = (await api.containerInspect(io.call, name, {})) as Json & Shown;
  const { Tty, OpenStdin } = container.Config;
  const stdin = input && OpenStdin;
  needTerminal(io, stdin, Tty);
  return {
    container,
    stdin,
    stdout: true,
    stderr: true,
    terminal: Tty,
    signalProxy: proxies(parsed) && !Tty,
    removed: container.HostConfig.AutoRemove === true,
    detachKeys: keysOf(io, parsed, stdin && Tty),
  };
}

export const attach: Command = {
  name: "attach",
  usage: "attach [OPTIONS] CONTAINER",
  about: "Attach local standard input, output, and error streams to a running container",
  aliases: ["container attach"],
  flags: {
    "detach-keys": detachFlag,
    "no-stdin": { kind: "bool", help: "Do not attach STDIN" },
    "sig-proxy": signalProxyFlag,
  },
  words: [1, 1],
  async run(io, api, parsed) {
    const { container, ...streams } = await streamsOf(io, api, parsed.words[0] ?? "", parsed, !parsed.bool("no-stdin"));
    const { State, Id } = container;
    if (!State.Running) throw new CommandError(1, "cannot attach to a stopped container, start it first");
    if (State.Paused) throw new CommandError(1, "cannot attach to a paused container, unpause it first");
    return exitCode(await io.session.attach(api, Id, streams));
  },
};
