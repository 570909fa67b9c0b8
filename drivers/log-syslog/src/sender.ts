/** One way to a syslog server for each kind of address. */
import { createSocket, type Socket as Datagrams } from "node:dgram";
import { existsSync } from "node:fs";
import { connect, isIP } from "node:net";
import { setTimeout as pause, setImmediate as turn } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { abortReason, asError, type Call, connectUnix, fail, type HostToolkit, SinkStream } from "@tsbox/kernel";
import type { SyslogOptions } from "./options.ts";

export interface Sender {
  send(call: Call, messages: readonly Buffer[]): Promise<void>;
  close(): void;
}

/** Where syslog's socket is on one system or another. */
const localSockets = ["/dev/log", "/var/run/syslog", "/var/run/log"];

export function makeSender(host: HostToolkit, options: SyslogOptions): Sender {
  const { address, text, tls } = options;
  if (address.kind === "local") return new LocalSender(host, () => localSockets.find(existsSync) ?? localSockets[0] ?? "");
  if (address.kind === "unixgram") return new DatagramSender(host, address.path);
  if (address.kind === "unix") return new LocalSender(host, () => address.path);
  if (address.kind === "udp") return new UdpSender(address.host, address.port, text);
  const { host: server, port } = address;
  if (address.kind === "tcp")
    return new StreamSender(
      new SinkStream({ address: text, connect: () => ({ socket: connect({ host: server, port }), event: "connect" }) }),
    );
  const servername = isIP(server) === 0 ? { servername: server } : {};
  return new StreamSender(
    new SinkStream({
      address: text,
      connect: () => ({ socket: connectTls({ host: server, port, ...servername, ...tls }), event: "secureConnect" }),
    }),
  );
}

class StreamSender implements Sender {
  readonly #stream: SinkStream;
  constructor(stream: SinkStream) {
    this.#stream = stream;
  }
  send(call: Call, messages: readonly Buffer[]): Promise<void> {
    return this.#stream.send(call, Buffer.concat(messages));
  }
  close(): void {
    this.#stream.close();
  }
}

/** Milliseconds between two looks whether a full socket has room again. */
const roomPause = 20;

class DatagramSender implements Sender {
  readonly #host: HostToolkit;
  readonly #path: string;
  constructor(host: HostToolkit, path: string) {
    this.#host = host;
    this.#path = path;
  }
  async send(call: Call, messages: readonly Buffer[]): Promise<void> {
    for (let sent = 0; ; ) {
      sent += await this.#host.sendDatagrams(call, this.#path, messages.slice(sent));
      if (sent >= messages.length) return;
      await pause(roomPause, undefined, { signal: call.signal }).catch(() => {
        throw fail("Unavailable", `${this.#path} takes no more logs: the program that reads it is too slow or stopped`);
      });
    }
  }
  close(): void {}
}

/** A socket in the file system, of either kind: /dev/log is one of datagrams on most systems. */
class LocalSender implements Sender {
  readonly #host: HostToolkit;
  readonly #path: () => string;
  #chosen: Sender | null = null;
  constructor(host: HostToolkit, path: () => string) {
    this.#host = host;
    this.#path = path;
  }
  async send(call: Call, messages: readonly Buffer[]): Promise<void> {
    if (this.#chosen !== null) return this.#chosen.send(call, messages);
    const path = this.#path();
    const datagrams = new DatagramSender(this.#host, path);
    try {
      await datagrams.send(call, messages);
      this.#chosen = datagrams;
    } catch (error) {
      if (errnoOf(error) !== wrongType) throw error;
      this.#chosen = new StreamSender(new SinkStream({ address: path, connect: () => ({ socket: connectUnix(path), event: "connect" }) }));
      await this.#chosen.send(call, messages);
    }
  }
  close(): void {
    this.#chosen?.close();
  }
}
/** EPROTOTYPE: it is a socket of the other kind. */
const wrongType = 91;
const errnoOf = (error: unknown): unknown => (typeof error === "object" && error !== null && "errno" in error ? error.errno : undefined);

/** Connected, so that a refusal comes back with the next datagram. Datagrams on the way may be lost, as always with UDP. */
class UdpSender implements Sender {
  readonly #server: string;
  readonly #port: number;
  readonly #text: string;
  #socket: Promise<Datagrams> | null = null;
  #refused: Error | null = null;
  constructor(server: string, port: number, text: string) {
    this.#server = server;
    this.#port = port;
    this.#text = text;
  }
  async send(call: Call, messages: readonly Buffer[]): Promise<void> {
    try {
      this.#refused = null;
      const socket = await this.#connected(call.signal);
      for (const message of messages) {
        await new Promise<void>((resolve, reject) => socket.send(message, (error) => (error === null ? resolve() : reject(error))));
        if (this.#refused !== null) throw this.#refused;
        call.signal.throwIfAborted();
      }
      // The refusal of the last one is read in a later turn.
      await turn();
      if (this.#refused !== null) throw this.#refused;
    } catch (error) {
      this.close();
      throw fail("Unavailable", `${this.#text} does not take logs: ${asError(error).message}`, { cause: error });
    }
  }
  close(): void {
    void this.#socket?.then(
      (socket) => socket.close(),
      () => undefined,
    );
    this.#socket = null;
  }
  #connected(signal: AbortSignal): Promise<Datagrams> {
    this.#socket ??= new Promise<Datagrams>((resolve, reject) => {
      const socket = createSocket({ type: isIP(this.#server) === 6 ? "udp6" : "udp4" });
      const abort = (): void => reject(abortReason(signal.reason));
      signal.addEventListener("abort", abort, { once: true });
      socket.unref();
      socket.on("error", (error) => {
        this.#refused = error;
        reject(error);
      });
      socket.connect(this.#port, this.#server, () => resolve(socket));
    });
    return this.#socket;
  }
}
