/** The user's terminal as a container's, over a hijacked connection. Attached and waited for before the start, so that nothing of a short life is missed. */
import { once } from "node:events";
import type { Duplex } from "node:stream";
import type { ReadStream, WriteStream } from "node:tty";
import { type ApiService, type Call, createCall, silentLog } from "@tsbox/kernel";
import type { Attached, Session } from "../io.ts";
import { demultiplex } from "./frames.ts";
import type { Remote } from "./http.ts";

/** What docker passes on. */
const proxied = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2"] as const;

export function remoteSession(remote: Remote): Session {
  return {
    async runAttached(api, id, attached) {
      // Not the command's own call: the container goes on when its client is killed.
      const call = createCall(silentLog);
      const { stdin, stdout, stderr } = attached;
      const { socket, framed } = await remote.hijack(call, `/containers/${id}/attach`, { stream: true, stdin, stdout, stderr });
      const waiting = await remote.send(call, "POST", `/containers/${id}/wait`, {
        query: { condition: attached.removed ? "removed" : "next-exit" },
      });
      const release = lend(api, call, id, attached);
      try {
        const output = carry(socket, attached, framed);
        // Heard of below; a start that fails leaves it to itself.
        output.catch(() => {});
        await api.containerStart(call, id, {});
        await resize(api, call, id, attached);
        await output;
        const { StatusCode } = JSON.parse(await text(waiting)) as { readonly StatusCode: number };
        return { code: StatusCode, timings: [] };
      } finally {
        release();
        socket.destroy();
        waiting.destroy();
        process.stdin.unref?.();
      }
    },
  };
}

async function text(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts).toString();
}

/** Answers when all output is written. */
async function carry(socket: Duplex, { stdin }: Attached, framed: boolean): Promise<void> {
  if (stdin) process.stdin.pipe(socket);
  else socket.end();
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

/** Signals, window sizes and raw mode, until the answered function is called. */
function lend(api: ApiService, call: Call, id: string, attached: Attached): () => void {
  const undo: (() => void)[] = [];
  const on = (signal: NodeJS.Signals, react: () => Promise<void>): void => {
    const listener = (): void => void react().catch(() => {});
    process.on(signal, listener);
    undo.push(() => process.off(signal, listener));
  };
  if (attached.signalProxy && !attached.terminal) for (const signal of proxied) on(signal, () => api.containerKill(call, id, signal));
  const input = process.stdin as ReadStream;
  if (attached.terminal && attached.stdin && input.isTTY) {
    input.setRawMode(true);
    undo.push(() => input.setRawMode(false));
  }
  if (attached.terminal) on("SIGWINCH", () => resize(api, call, id, attached));
  return () => {
    for (const step of undo) step();
  };
}

async function resize(api: ApiService, call: Call, id: string, { terminal }: Attached): Promise<void> {
  const { isTTY, rows, columns } = process.stdout as WriteStream;
  // A container that has ended already has no size.
  if (terminal && isTTY) await api.containerResize(call, id, rows, columns).catch(() => {});
}
