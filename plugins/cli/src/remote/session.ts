/**
 * Attaches the user's terminal to a container or an exec over a hijacked connection. Attach and wait come before the start, so that no
 * output of a process that ends at once is missed.
 */
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { ReadStream, WriteStream } from "node:tty";
import { type ApiService, createCall, DetachWatch, defaultDetachKeys, fail, isTsboxError, silentLog } from "@tsbox/kernel";
import { type Attached, type Session, warningText } from "../io.ts";
import { redraw } from "../redraw.ts";
import { demultiplex } from "./frames.ts";
import type { Remote } from "./http.ts";

/** The signals that docker forwards. */
const proxied = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2"] as const;
/** As in docker: after this many termination signals the client ends, whatever the engine does. */
const terminations = 3;
type Resize = (rows: number, columns: number) => Promise<void>;

export function remoteSession(remote: Remote): Session {
  // Not the command's own call: the container continues when its client is killed.
  const call = createCall(silentLog);
  const attachTo = async (id: string, attached: Attached): Promise<Connection> => {
    const { stdin, stdout, stderr, detachKeys } = attached;
    const query = { stream: true, stdin, stdout, stderr, detachKeys: written(detachKeys) };
    return remote.hijack(call, `/containers/${id}/attach`, { query });
  };
  const waitFor = (id: string, { removed }: Attached): Promise<IncomingMessage> =>
    remote.send(call, "POST", `/containers/${id}/wait`, { query: { condition: removed ? "removed" : "next-exit" } });
  const containerSession = async (api: ApiService, id: string, attached: Attached, begin: () => Promise<void>): Promise<number | null> => {
    const connection = await attachTo(id, attached);
    const waiting = await waitFor(id, attached);
    try {
      const resize: Resize = (rows, columns) => api.containerResize(call, id, rows, columns);
      const proxy = attached.signalProxy ? (signal: string) => api.containerKill(call, id, signal) : null;
      if (!(await lend(connection, attached, resize, proxy, begin))) return null;
      return (JSON.parse(await text(waiting)) as { readonly StatusCode: number }).StatusCode;
    } finally {
      waiting.destroy();
    }
  };
  return {
    async runAttached(api, id, attached) {
      const begin = async (): Promise<void> => {
        process.stderr.write(warningText((await api.containerStart(call, id, {})).warnings));
      };
      return { code: await containerSession(api, id, attached, begin), timings: [] };
    },
    attach: (api, id, attached) =>
      containerSession(api, id, attached, async () => {
        const { isTTY, rows, columns } = process.stdout as WriteStream;
        if (attached.terminal && isTTY) await redraw(api, id, { rows, columns });
      }),
    async runExec(api, exec, attached) {
      const { isTTY, rows, columns } = process.stdout as WriteStream;
      const size = attached.terminal && isTTY ? { ConsoleSize: [rows, columns] } : {};
      const connection = await remote.hijack(call, `/exec/${exec}/start`, { json: { Detach: false, Tty: attached.terminal, ...size } });
      const resize: Resize = (high, wide) => api.execResize(call, exec, high, wide);
      // As in docker, the stream has the error of a command that could not be started; the exit code is then 126 or 127.
      if (!(await lend(connection, attached, resize, null, async () => {}))) return null;
      const { ExitCode } = (await api.execInspect(call, exec).catch((error: unknown) => {
        // The container was removed, and its processes with it.
        if (isTsboxError(error) && error.code === "NotFound") return { ExitCode: 137 };
        throw error;
      })) as { readonly ExitCode: number | null };
      if (ExitCode === null)
        throw fail("Unavailable", `the engine closed the connection of exec ${exec.slice(0, 12)} before the exec ended`);
      return ExitCode;
    },
  };
}

interface Connection {
  readonly socket: Duplex;
  readonly framed: boolean;
}

/** The keys in docker's syntax; undefined: the engine's default. */
function written(keys: readonly number[] | null): string | undefined {
  return keys
    ?.map((key) =>
      key === 127
        ? "DEL"
        : key < 32
          ? `ctrl-${String.fromCharCode(key === 0 ? 64 : key < 27 ? key + 96 : key + 64)}`
          : String.fromCharCode(key),
    )
    .join(",");
}

async function text(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts).toString();
}

/**
 * Forwards signals, window sizes, input and output, in raw mode for a terminal, until all output is written (true) or the user types the
 * detach keys (false). `begin` is called when everything is set up.
 */
async function lend(
  { socket, framed }: Connection,
  attached: Attached,
  resize: Resize,
  proxy: ((signal: string) => Promise<void>) | null,
  begin: () => Promise<void>,
): Promise<boolean> {
  const undo: (() => void)[] = [];
  const on = (signal: NodeJS.Signals, react: () => Promise<void>): void => {
    const listener = (): void => void react().catch(() => {});
    process.on(signal, listener);
    undo.push(() => process.off(signal, listener));
  };
  const fit = async (): Promise<void> => {
    const { isTTY, rows, columns } = process.stdout as WriteStream;
    // A process that has ended has no size.
    if (attached.terminal && isTTY) await resize(rows, columns).catch(() => {});
  };
  if (proxy !== null) {
    let asked = 0;
    for (const signal of proxied)
      on(signal, async () => {
        if (signal === "SIGINT" || signal === "SIGTERM") asked += 1;
        if (asked < terminations) return proxy(signal);
        process.stderr.write(`\ngot ${terminations} SIGTERM/SIGINTs, forcefully exiting\n`);
        process.exit(1);
      });
  }
  if (attached.terminal) on("SIGWINCH", fit);
  const input = process.stdin as ReadStream;
  if (attached.terminal && attached.stdin && input.isTTY) {
    input.setRawMode(true);
    undo.push(() => input.setRawMode(false));
  }
  try {
    const { promise: detached, resolve: detach } = Promise.withResolvers<false>();
    if (!attached.stdin) socket.end();
    else if (attached.terminal) input.pipe(new DetachWatch(attached.detachKeys ?? defaultDetachKeys, () => detach(false))).pipe(socket);
    else input.pipe(socket);
    const output = carry(socket, framed).then(() => true as const);
    // The error is handled below; if `begin` fails, this promise is not awaited.
    output.catch(() => {});
    await begin();
    await fit();
    return await Promise.race([output, detached]);
  } finally {
    for (const step of undo) step();
    socket.destroy();
    process.stdin.unref?.();
  }
}

/** Answers when all output is written. */
async function carry(socket: Duplex, framed: boolean): Promise<void> {
  const write = async (stream: NodeJS.WriteStream, bytes: Uint8Array): Promise<void> => {
    if (!stream.write(bytes)) await once(stream, "drain");
  };
  if (!framed) {
    for await (const part of socket as AsyncIterable<Uint8Array>) await write(process.stdout, part);
    return;
  }
  for await (const { stream, bytes } of demultiplex(socket as AsyncIterable<Uint8Array>))
    await write(stream === "stdout" ? process.stdout : process.stderr, bytes);
}
