/**
 * `POST /containers/{id}/attach`: the connection itself becomes the container's stdio (Docker calls it hijacked). The framework does not route upgrades, so this path is
 * the project's own: Node's `upgrade` event, the body by hand (it is not on the request then), and the bytes both ways with half-close: the client's end is the
 * container's end of input, and output goes on after it.
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type ApiService, type Call, type Container, type ContainersService, createCall, fail, type Logger } from "@tsbox/kernel";
import { failureOf } from "./errors.ts";
import { flag, type Query } from "./query.ts";
import { connectShim } from "./shim-stream.ts";
import { atLeast, versionOf } from "./versions.ts";

export interface AttachServices {
  readonly api: ApiService;
  readonly containers: ContainersService;
  readonly log: Logger;
}

const form = /^\/containers\/([^/?]+)\/attach(?:\?(.*))?$/;
const longestBody = 64 << 10;

/** Is it for this file? All else that asks for an upgrade (`h2c` of Java clients) is served as if it had not. */
export function wantsAttach({ method, url = "", headers }: IncomingMessage): boolean {
  return method === "POST" && headers.upgrade?.toLowerCase() === "tcp" && /^(\/v\d+\.\d+)?\/containers\/[^/?]+\/attach(\?|$)/.test(url);
}

export function framesType(version: string, terminal: boolean): string {
  return `application/vnd.docker.${!terminal && atLeast(version, "1.42") ? "multiplexed" : "raw"}-stream`;
}

export async function attach(services: AttachServices, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
  socket.on("error", () => socket.destroy());
  try {
    await dropBody(request, socket, head);
    const versioned = versionOf(request.url ?? "");
    if ("refused" in versioned) throw fail("InvalidArgument", versioned.refused);
    const [, id = "", search = ""] = form.exec(versioned.path) ?? [];
    const query: Query = Object.fromEntries(new URLSearchParams(search));
    const call = createCall(services.log);
    const record = await services.containers.get(call, decodeURIComponent(id));
    const shim = flag(query, "stream") ? await openStream(services, call, record, query) : null;
    const before = flag(query, "logs") ? await logs(services.api, call, record, query) : null;
    const type = framesType(versioned.version, record.config.terminal);
    // Docker's very words: clients compare the status line.
    socket.write(`HTTP/1.1 101 UPGRADED\r\nContent-Type: ${type}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n`);
    if (before) for await (const part of before) socket.write(part);
    if (shim === null) socket.end();
    else join(socket, shim, flag(query, "stdin"));
  } catch (error) {
    const { status, message } = failureOf(error);
    const body = JSON.stringify({ message });
    const headers = `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close`;
    socket.end(`HTTP/1.1 ${status} ${status === 404 ? "Not Found" : "Error"}\r\n${headers}\r\n\r\n${body}`);
  }
}

export async function openStream({ containers }: AttachServices, call: Call, record: Container, query: Query): Promise<Duplex> {
  const path = await containers.attachSocket(call, record.id);
  const wishes = { stdin: flag(query, "stdin"), stdout: flag(query, "stdout"), stderr: flag(query, "stderr") };
  return connectShim(path, { ...wishes, framed: !record.config.terminal });
}

export async function logs(api: ApiService, call: Call, { id }: Container, query: Query): Promise<AsyncIterable<Uint8Array>> {
  return (await api.containerLogs(call, id, { stdout: flag(query, "stdout"), stderr: flag(query, "stderr"), tail: "all" })).frames;
}

/** Until both have ended. A client that breaks off takes nothing with it but its own connection. */
function join(client: Duplex, shim: Duplex, stdin: boolean): void {
  shim.on("error", () => client.destroy());
  client.on("close", () => shim.destroy());
  shim.pipe(client);
  // Clients that send nothing end their half at once; that is not the container's end of input.
  if (stdin) client.pipe(shim);
  else client.resume();
}

/** Reads the request's body and leaves what comes after it, the first bytes of stdin, on the socket. */
async function dropBody({ headers }: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
  const length = Number(headers["content-length"] ?? 0);
  if (headers["transfer-encoding"] !== undefined || !Number.isInteger(length) || length < 0 || length > longestBody)
    throw fail("InvalidArgument", "attach takes no body: send Content-Length: 0");
  socket.unshift(head);
  for (let left = length; left > 0; ) {
    const part = socket.read(Math.min(left, Math.max(socket.readableLength, 1))) as Buffer | null;
    if (part !== null) left -= part.length;
    else if (socket.readableEnded || socket.destroyed) throw fail("InvalidArgument", "the request's body was cut off");
    else await new Promise((resolve) => socket.once("readable", resolve).once("end", resolve).once("close", resolve));
  }
}
