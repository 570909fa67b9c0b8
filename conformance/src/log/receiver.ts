/** A server for sinks of stream protocols: it can be stopped, started again at the same address, and fall silent. */
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TlsOptions } from "node:tls";

export class StreamReceiver {
  readonly #path: string | null;
  readonly #tls: TlsOptions | null;
  readonly #connected: (socket: Socket) => (bytes: Buffer) => void;
  readonly #sockets: Set<Socket> = new Set();
  #server: Server | null = null;
  #port = 0;
  #isSilent = false;

  /** `path`: of a unix socket; null: a port of the loopback. `connected` answers what takes the bytes of a connection. */
  constructor(path: string | null, tls: TlsOptions | null, connected: (socket: Socket) => (bytes: Buffer) => void) {
    this.#path = path;
    this.#tls = tls;
    this.#connected = connected;
  }

  get port(): number {
    return this.#port;
  }

  /** How many connections there are. */
  get connections(): number {
    return this.#sockets.size;
  }

  async start(): Promise<void> {
    this.#isSilent = false;
    for (const socket of this.#sockets) socket.resume();
    if (this.#server !== null) return;
    const take = (socket: Socket): void => {
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => this.#sockets.delete(socket));
      socket.on("data", this.#connected(socket));
      if (this.#isSilent) socket.pause();
    };
    const server = this.#tls === null ? createServer(take) : createTlsServer(this.#tls, take);
    server.on("tlsClientError", () => undefined);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      if (this.#path !== null) server.listen(this.#path, resolve);
      else server.listen(this.#port, "127.0.0.1", resolve);
    });
    const address = server.address();
    if (typeof address === "object" && address !== null) this.#port = address.port;
    this.#server = server;
  }

  async silence(): Promise<void> {
    this.#isSilent = true;
    for (const socket of this.#sockets) socket.pause();
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
