/**
 * A connection over which a log driver sends batches to a sink. It is made at the first batch, and again after it broke off. All waiting
 * has a deadline. A sink that dies may have taken a batch without having read it: the system then resets the connection, and that batch
 * is sent once more, over the next connection.
 */
import type { Socket } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import type { Call } from "./contract/call.ts";
import { abortReason, asError, fail } from "./errors/index.ts";

export interface SinkStreamOptions {
  /** For messages: `tcp://logs:514`. */
  readonly address: string;
  /** Begins to connect. The socket is ready at `event`. */
  connect(): { readonly socket: Socket; readonly event: "connect" | "secureConnect" };
  /** Bytes that the sink sends back. */
  readonly answer?: (bytes: Buffer) => void;
  /** A connection has ended. */
  readonly ended?: () => void;
  /** The protocol has acknowledgements: nothing is sent again by itself. */
  readonly isAcknowledged?: boolean;
}

/** Milliseconds for a connection to be made. */
const connectTimeout = 10_000;
/** A sink that ends a connection within so many milliseconds of a batch may not have read it. */
const endGrace = 1_000;
/** Milliseconds between two tries to send a lost batch again: the first, and the longest. */
const firstPause = 500;
const longestPause = 30_000;

export class SinkStream {
  readonly #options: SinkStreamOptions;
  #socket: Socket | null = null;
  /** The last batch of the connection, while the sink may lose it. */
  #last: { readonly bytes: Uint8Array; readonly at: number } | null = null;
  /** A batch that a broken connection may have lost. */
  #lost: Uint8Array | null = null;
  #retry: NodeJS.Timeout | null = null;
  #queue: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(options: SinkStreamOptions) {
    this.#options = options;
  }

  /** `Unavailable`: the sink can't be reached, or does not take the bytes before the call ends. */
  send(call: Call, bytes: Uint8Array): Promise<void> {
    const sent = this.#queue.then(() => this.#send(call.signal, bytes));
    this.#queue = sent.catch(() => undefined);
    return sent;
  }

  close(): void {
    this.#closed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    // What was written is still sent.
    this.#socket?.end();
    const socket = this.#socket;
    this.#socket = null;
    if (socket !== null) setTimeout(() => socket.destroy(), connectTimeout).unref();
  }

  /** The connection is no use any more; the next batch gets a new one. */
  drop(): void {
    this.#socket?.destroy();
    this.#socket = null;
  }

  async #send(signal: AbortSignal, bytes: Uint8Array): Promise<void> {
    // The end of a connection that the sink has closed already is noticed before it is written to.
    if (this.#socket !== null) await turn();
    signal.throwIfAborted();
    const socket = this.#socket ?? (await this.#connected(signal));
    const lost = this.#lost;
    if (lost !== null) {
      await this.#write(signal, socket, lost);
      this.#lost = null;
    }
    await this.#write(signal, socket, bytes);
    if (this.#options.isAcknowledged !== true) this.#last = { bytes, at: Date.now() };
  }

  async #connected(signal: AbortSignal): Promise<Socket> {
    const { socket, event } = this.#options.connect();
    await this.#during(AbortSignal.any([signal, AbortSignal.timeout(connectTimeout)]), socket, (done) => socket.once(event, () => done()));
    socket.setKeepAlive(true, 30_000);
    socket.on("data", (chunk: Buffer) => this.#options.answer?.(chunk));
    socket.on("end", () => this.#broken(socket, this.#last !== null && Date.now() - this.#last.at < endGrace));
    socket.on("error", () => this.#broken(socket, true));
    socket.on("close", () => {
      this.#broken(socket, false);
      this.#options.ended?.();
    });
    // An engine that ends does not wait for it.
    socket.unref();
    this.#socket = socket;
    return socket;
  }

  #write(signal: AbortSignal, socket: Socket, bytes: Uint8Array): Promise<void> {
    return this.#during(signal, socket, (done) => socket.write(bytes, (error) => done(error ?? undefined)));
  }

  /** Waits for one step of a socket; whatever ends the wait otherwise ends the socket. */
  async #during(signal: AbortSignal, socket: Socket, begin: (done: (error?: Error) => void) => void): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = (): void => reject(abortReason(signal.reason));
    const ended = (): void => reject(new Error("the connection was closed"));
    signal.addEventListener("abort", abort, { once: true });
    socket.on("error", reject).on("close", ended);
    try {
      if (signal.aborted) abort();
      begin((error) => (error === undefined ? resolve() : reject(error)));
      await promise;
    } catch (error) {
      // Nobody else listens for its last errors.
      socket.on("error", () => undefined);
      socket.destroy();
      if (this.#socket === socket) this.#socket = null;
      const { message } = asError(error);
      throw fail("Unavailable", `${this.#options.address} does not take logs: ${message}`, { cause: error });
    } finally {
      signal.removeEventListener("abort", abort);
      socket.off("error", reject).off("close", ended);
    }
  }

  #broken(socket: Socket, isLost: boolean): void {
    if (this.#socket === socket) this.#socket = null;
    socket.destroy();
    if (isLost && this.#last !== null) this.#lost = this.#last.bytes;
    this.#last = null;
    if (this.#lost !== null && !this.#closed && this.#retry === null) this.#again(firstPause);
  }

  /** Sends a lost batch, unless the next batch does that. */
  #again(pause: number): void {
    this.#retry = setTimeout(() => {
      this.#retry = null;
      if (this.#lost === null || this.#closed) return;
      const sent = this.#queue.then(async () => {
        const lost = this.#lost;
        this.#lost = null;
        if (lost === null) return;
        await this.#send(AbortSignal.timeout(connectTimeout), lost).catch((error: unknown) => {
          this.#lost = lost;
          throw error;
        });
      });
      this.#queue = sent.catch(() => {
        if (this.#lost !== null && !this.#closed && this.#retry === null) this.#again(Math.min(longestPause, pause * 2));
      });
    }, pause);
    this.#retry.unref();
  }
}
