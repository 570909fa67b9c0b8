/** The HTTP server on a separate socket, with verbs that the test provides, and a fake shim that speaks like a real one. */

import { mkdirSync } from "node:fs";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { type Case, temporaryDirectory } from "@tsbox/harness";
import { type ApiService, type ContainersService, fail, silentLog } from "@tsbox/kernel";
import { serveHttp } from "../src/http/server.ts";
import { execVerbs } from "../src/operations/execs.ts";
import { sessionVerbs } from "../src/operations/sessions.ts";

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}
export interface World {
  readonly socket: string;
  readonly directory: string;
  /** Stops the server. */
  close(): Promise<void>;
  ask(
    method: string,
    path: string,
    options?: { readonly body?: string | Uint8Array; readonly headers?: Readonly<Record<string, string>> },
  ): Promise<Answer>;
  /** Resolves when the answer's head has arrived. */
  open(method: string, path: string, headers?: Readonly<Record<string, string>>): Promise<IncomingMessage>;
}

export async function makeWorld(t: Case, api: Partial<ApiService>, containers: Partial<ContainersService> = {}): Promise<World> {
  const directory = temporaryDirectory(t);
  const socket = `${directory}/api.sock`;
  mkdirSync(`${directory}/uploads`);
  // The engine's sessions and execs, over the test's containers.
  const sessions = { ...execVerbs(containers as ContainersService), ...sessionVerbs(containers as ContainersService, api as ApiService) };
  const services = { api: { ...sessions, ...(api as ApiService) }, log: silentLog, uploads: `${directory}/uploads` };
  const server = await serveHttp(services, { path: socket });
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => (closing ??= server.close());
  t.cleanup(close);
  const open: World["open"] = (method, path, headers = {}) =>
    new Promise((resolve, reject) =>
      httpRequest({ socketPath: socket, method, path, headers, agent: false }, resolve).once("error", reject).end(),
    );
  return {
    socket,
    directory,
    open,
    close,
    ask: (method, path, { body, headers = {} } = {}) =>
      new Promise((resolve, reject) => {
        const request = httpRequest({ socketPath: socket, method, path, headers, agent: false }, (response) => {
          text(response).then((whole) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: whole }), reject);
        });
        request.once("error", reject).end(body);
      }),
  };
}

export async function text(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts).toString();
}

/**
 * A fake shim: it passes each connection's attach request and socket to `attached` after its answer. If `grants` is false, it closes the
 * connection without an answer.
 */
export async function makeShim(t: Case, attached: (wishes: unknown, socket: Socket) => void, grants = true): Promise<string> {
  const path = `${temporaryDirectory(t)}/shim.sock`;
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.once("data", (data) => {
      if (!grants) {
        socket.destroy();
        return;
      }
      const length = data.readUInt32LE(0);
      const payload = Buffer.from('{"event":"attached"}');
      const header = Buffer.alloc(12);
      header.writeUInt32LE(payload.length, 0);
      header[8] = 2;
      socket.write(Buffer.concat([header, payload]));
      attached(JSON.parse(data.subarray(12, 12 + length).toString()), socket);
    });
  });
  const open = new Set<Socket>();
  server.on("connection", (socket) => open.add(socket.on("error", () => {})));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.cleanup(() => {
    for (const socket of open) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return path;
}

export const container = (socket: string, terminal = false): Partial<ContainersService> => ({
  get: async (_call, reference) => {
    if (reference !== "c1") throw fail("NotFound", `No such container: ${reference}`);
    return { id: "c1", config: { terminal } } as Awaited<ReturnType<ContainersService["get"]>>;
  },
  attachSocket: async () => socket,
});

/** A plain connection: the test writes all bytes itself. */
export function raw(t: Case, path: string): Socket {
  const socket = createConnection({ path, allowHalfOpen: true });
  t.cleanup(() => socket.destroy());
  return socket;
}
