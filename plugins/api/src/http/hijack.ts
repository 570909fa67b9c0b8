/**
 * Connections that stop being HTTP (Docker calls them hijacked). The framework does not route upgrades, so this path is the project's own: Node's `upgrade` event, the
 * body by hand (it is not on the request then), and the bytes both ways with half-close: the client's end is the process's end of input, and output goes on after it.
 */
import type { IncomingMessage } from "node:http";
import { type Duplex, finished } from "node:stream";
import { fail } from "@tsbox/kernel";
import { failureOf } from "./errors.ts";

const longestBody = 64 << 10;
const paths = /^(\/v\d+\.\d+)?\/(?:containers\/[^/?]+\/attach|exec\/[^/?]+\/start)(\?|$)/;

/** Is it one of these? All else that asks for an upgrade (`h2c` of Java clients) is served as if it had not. */
export function wantsHijack({ method, url = "", headers }: IncomingMessage): boolean {
  return method === "POST" && headers.upgrade?.toLowerCase() === "tcp" && paths.test(url);
}

/** Docker's very words: clients compare the status line. */
export function upgrade(socket: Duplex, contentType: string): void {
  socket.write(`HTTP/1.1 101 UPGRADED\r\nContent-Type: ${contentType}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n`);
}

export function refuse(socket: Duplex, error: unknown): void {
  const { status, message } = failureOf(error);
  const body = JSON.stringify({ message });
  const headers = `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close`;
  socket.end(`HTTP/1.1 ${status} ${status === 404 ? "Not Found" : "Error"}\r\n${headers}\r\n\r\n${body}`);
}

/** Until both have ended. A client that breaks off takes nothing with it but its own connection. `last`: what the client's end waits for when the output is over. */
export function join(client: Duplex, shim: Duplex, stdin: boolean, last: Promise<unknown> | null = null): void {
  client.on("close", () => shim.destroy());
  shim.pipe(client, { end: false });
  const end = (): void => void client.end();
  // A process that says nothing may be over before anybody listens here: then no event tells of it any more.
  finished(shim, { writable: false }, (error) => {
    if (error) client.destroy();
    else if (last === null) end();
    else last.then(end, end);
  });
  // Clients that send nothing end their half at once; that is not the process's end of input.
  if (stdin) client.pipe(shim);
  else client.resume();
}

/** The request's body; what comes after it, the first bytes of stdin, stays on the socket. */
export async function takeBody({ headers }: IncomingMessage, socket: Duplex, head: Buffer): Promise<Buffer> {
  const length = Number(headers["content-length"] ?? 0);
  if (headers["transfer-encoding"] !== undefined || !Number.isInteger(length) || length < 0 || length > longestBody)
    throw fail("InvalidArgument", "a body of known length is wanted here: send Content-Length");
  socket.unshift(head);
  const parts: Buffer[] = [];
  for (let left = length; left > 0; ) {
    const part = socket.read(Math.min(left, Math.max(socket.readableLength, 1))) as Buffer | null;
    if (part !== null) {
      parts.push(part);
      left -= part.length;
    } else if (socket.readableEnded || socket.destroyed) throw fail("InvalidArgument", "the request's body was cut off");
    else await new Promise((resolve) => socket.once("readable", resolve).once("end", resolve).once("close", resolve));
  }
  return Buffer.concat(parts);
}
