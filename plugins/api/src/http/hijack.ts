/**
 * Connections that stop being HTTP (Docker calls them hijacked). The framework does not route upgrades, so this path is the project's own:
 * Node's `upgrade` event, the body by hand (it is not on the request then), and the bytes both ways with half-close: the client's end is
 * the process's end of input, and output goes on after it.
 */
import { type IncomingMessage, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import { type Duplex, finished } from "node:stream";
import { DetachWatch, fail } from "@tsbox/kernel";
import { failureOf } from "./errors.ts";

const longestBody = 64 << 10;
/** How long a client that has all output may keep its own end open. */
const lingering = 10_000;
const paths = /^(\/v\d+\.\d+)?\/(?:containers\/[^/?]+\/attach|exec\/[^/?]+\/start)(\?|$)/;

/** Is it one of these? All else that asks for an upgrade (`h2c` of Java clients) is served as if it had not. */
export function wantsHijack({ method, url = "", headers }: IncomingMessage): boolean {
  return method === "POST" && headers.upgrade?.toLowerCase() === "tcp" && paths.test(url);
}

/** Docker's very words: clients compare the status line. */
export function upgrade({ headers }: IncomingMessage, socket: Duplex, contentType: string): void {
  if (headers[unasked] !== undefined) socket.write("HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n");
  else socket.write(`HTTP/1.1 101 UPGRADED\r\nContent-Type: ${contentType}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n`);
}

/** A header of our own: the client has not asked for an upgrade. */
const unasked = "x-tsbox-taken-over";
const head = /^POST (\/v\d+\.\d+)?\/(?:containers\/[^/?\s]+\/attach|exec\/[^/?\s]+\/start)[?\s]/;
const longestHead = 64 << 10;
const longestLine = 2048;
/** How long a client may take for its first request. Node's own limit, which counts from there on. */
const firstRequest = 60_000;

/**
 * Docker takes the connection over whether the client asks for an upgrade or not, and Node's parser gives it to those alone who ask. So the
 * first request of a connection is looked at before Node is, and asks for it from there on. On a connection that has had other requests
 * such a client gets output alone.
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
    const incomplete = !got.includes("\r\n\r\n") && got.length < longestHead;
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
  // Who ends before that wants no answer; Node's server would wait for an end that has been.
  socket.on("readable", look).once("end", broken).on("error", broken);
  socket.once("close", () => clearTimeout(timer));
}

export function refuse(socket: Duplex, error: unknown): void {
  const { status, message } = failureOf(error);
  const body = JSON.stringify({ message });
  const headers = `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close`;
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Error"}\r\n${headers}\r\n\r\n${body}`);
}

export interface Joining {
  readonly stdin: boolean;
  /** What the client's end waits for when the output is over. */
  readonly last?: Promise<unknown>;
  /** By which a user leaves a process that goes on, where a terminal is joined whose end is waited for. */
  readonly keys?: readonly number[];
}

/** Until both have ended. A client that breaks off takes nothing with it but its own connection. */
export function join(client: Duplex, shim: Duplex, { stdin, last, keys }: Joining): void {
  let detached = false;
  client.on("close", () => shim.destroy());
  shim.pipe(client, { end: false });
  // A connection that is closed with unread bytes in it takes the output along: what the client still sends is read, and dropped.
  const end = (): void => {
    client.unpipe();
    client.resume().end(() => {
      if (client.destroyed) return;
      const timer = setTimeout(() => client.destroy(), lingering).unref();
      client.once("close", () => clearTimeout(timer));
    });
  };
  // A process that says nothing may be over before anybody listens here: then no event tells of it any more. A shim that was killed ends
  // the output, too.
  finished(shim, { writable: false }, () => {
    if (last === undefined || detached) end();
    else last.then(end, end);
  });
  // Clients that send nothing end their half at once; that is not the process's end of input.
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
