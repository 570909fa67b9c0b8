/**
 * Connections that stop being HTTP (Docker calls them hijacked). The framework does not route upgrades, so this code does: it handles
 * Node's `upgrade` event, reads the body by hand (the request does not have it then), and pipes bytes both ways with half-close: the
 * client's end is the process's end of input, and output continues after it.
 */
import { type IncomingMessage, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import { type Duplex, finished } from "node:stream";
import { DetachWatch, fail, limits } from "@tsbox/kernel";
import { failureOf } from "./errors.ts";

const longestBody = 64 << 10;
/** Milliseconds that a client which has all output may keep its own side open. */
const lingering = 10_000;
const paths = /^(\/v\d+\.\d+)?\/(?:containers\/[^/?]+\/attach|exec\/[^/?]+\/start)(\?|$)/;

/** Whether the request is such a connection. Other upgrade requests (`h2c` of Java clients) are served as plain HTTP. */
export function wantsHijack({ method, url = "", headers }: IncomingMessage): boolean {
  return method === "POST" && headers.upgrade?.toLowerCase() === "tcp" && paths.test(url);
}

/** Exactly Docker's text: clients compare the status line. */
export function upgrade({ headers }: IncomingMessage, socket: Duplex, contentType: string): void {
  if (headers[unasked] !== undefined) socket.write("HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n");
  else socket.write(`HTTP/1.1 101 UPGRADED\r\nContent-Type: ${contentType}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n`);
}

/** An internal header: the client did not ask for an upgrade. */
const unasked = "x-tsbox-taken-over";
const head = /^POST (\/v\d+\.\d+)?\/(?:containers\/[^/?\s]+\/attach|exec\/[^/?\s]+\/start)[?\s]/;
const longestLine = 2048;
/** Milliseconds for a client's first request. Node's own limit only counts from then on. */
const firstRequest = 60_000;

/**
 * Docker takes over the connection whether or not the client asks for an upgrade, but Node's parser only hands over connections that ask.
 * So the first request of a connection is read before Node reads it, and an upgrade header is inserted. On a connection that had other
 * requests before, such a client gets output alone.
 */
export function takeUnasked(socket: Socket, accept: () => void): void {
  let got = Buffer.alloc(0);
  const give = (bytes: Buffer): void => {
    clearTimeout(timer);
    socket.off("readable", look).off("end", broken).off("error", broken);
    if (bytes.length > 0) socket.unshift(bytes);
    accept();
  };
  const through = (): void => give(got);
  const broken = (): void => void socket.destroy();
  const look = (): void => {
    for (let part = socket.read() as Buffer | null; part !== null; part = socket.read() as Buffer | null) got = Buffer.concat([got, part]);
    const line = got.subarray(0, longestLine).toString("latin1");
    const incomplete = !got.includes("\r\n\r\n") && got.length < limits.largestHead;
    const mayBe = line.includes("\n") || line.length === longestLine ? head.test(line) : "POST ".startsWith(line.slice(0, 5));
    if (mayBe && incomplete) return;
    const asks = /\r\n(upgrade|expect):/i.test(got.subarray(0, got.indexOf("\r\n\r\n")).toString("latin1"));
    if (!mayBe || incomplete || asks) {
      through();
      return;
    }
    const after = got.indexOf("\r\n") + 2;
    const asked = Buffer.from(`Connection: Upgrade\r\nUpgrade: tcp\r\n${unasked}: 1\r\n`);
    give(Buffer.concat([got.subarray(0, after), asked, got.subarray(after)]));
  };
  const timer = setTimeout(broken, firstRequest).unref();
  // A client that ends before its request needs no answer; Node's server would wait for an end event that has already passed.
  socket.on("readable", look).once("end", broken).on("error", broken);
  socket.once("close", () => clearTimeout(timer));
}

export function refuse(socket: Duplex, error: unknown): void {
  const { status, message } = failureOf(error);
  refuseWith(socket, status, message);
}

/** Sends an error answer on a connection that Node's server does not serve, and ends it. */
export function refuseWith(socket: Duplex, status: number, message: string): void {
  const body = JSON.stringify({ message });
  const headers = `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close`;
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Error"}\r\n${headers}\r\n\r\n${body}`);
}

export interface Joining {
  readonly stdin: boolean;
  /** The client's connection stays open until this settles, after the output's end. */
  readonly last?: Promise<unknown>;
  /** The detach keys, for a terminal whose process has to be able to continue without this client. */
  readonly keys?: readonly number[];
}

/** Joins the two until both have ended. A client that disconnects only closes its own connection. */
export function join(client: Duplex, shim: Duplex, { stdin, last, keys }: Joining): void {
  let detached = false;
  client.on("close", () => shim.destroy());
  shim.pipe(client, { end: false });
  // Closing a connection with unread bytes would drop the output, so the client's further input is read and dropped.
  const end = (): void => {
    client.unpipe();
    client.resume().end(() => {
      if (client.destroyed) return;
      const timer = setTimeout(() => client.destroy(), lingering).unref();
      client.once("close", () => clearTimeout(timer));
    });
  };
  // A process without output may have ended before this listener exists, so that no event reports it; `finished` notices that too. A shim
  // that is killed also ends the output.
  finished(shim, { writable: false }, () => {
    if (last === undefined || detached) end();
    else last.then(end, end);
  });
  // Clients that send nothing end their side at once; that is not the process's end of input.
  if (!stdin) client.resume();
  else if (keys === undefined) client.pipe(shim);
  else {
    const detach = (): void => {
      detached = true;
      shim.destroy();
    };
    client.pipe(new DetachWatch(keys, detach)).pipe(shim);
  }
}

/** Reads the request's body. The bytes after it, the first of stdin, stay on the socket. */
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
